//! Names of tasks, on the command line and in paths.

use super::super::exit::Exit;
use super::super::output::Failure;

/// Exactly one name, refused in CTS's words.
pub(super) fn one_name<'a>(names: &'a [String], command: &str) -> Result<&'a str, Failure> {
    let [name] = names else {
        let text = format!(
            "this command requires one argument: [options] <task name>\n{}For additional help try 'quorate task {command} \
             --help'",
            if names.is_empty() {
                "No arguments were passed to the command\n".to_owned()
            } else {
                format!(
                    "{} arguments were passed to the command: {}\nAll flags are required to appear before positional \
                     arguments\n",
                    names.len(),
                    names.join(", ")
                )
            }
        );
        return Err(Failure::with(Exit::Missing, text));
    };
    Ok(name)
}

/// A name as one part of a path.
pub(in crate::cli) fn encode(name: &str) -> String {
    let part = |byte: u8| {
        let literal = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if literal { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(part).collect()
}
