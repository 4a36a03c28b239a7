//! Notices by a program: it gets the notice as JSON on standard input, and in variables what most will look for.

use std::ffi::OsString;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Format, Notice, Subject};

/// What of its last words stands in an error, in bytes.
const SAID_MAX: usize = 512;

/// Runs it to its end. When the caller gives up waiting it is killed.
pub(super) async fn run(argv: &[String], environment: &[(OsString, OsString)], notice: &Notice) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("no program is named".to_owned()) };
    let task = match &notice.subject {
        Subject::Task { task, .. } => task.as_str(),
        Subject::Member(_) => "",
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .envs([("QUORATE_NOTICE", notice.kind.as_str()), ("QUORATE_TASK", task), ("QUORATE_TEXT", &notice.text)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let stdin = child.stdin.take();
    let body = notice.body(Format::Json);
    let write = async move {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input has its reasons.
            drop(stdin.write_all(&body).await);
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), write);
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = output.stderr.trim_ascii();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(SAID_MAX)..]).into_owned();
    Err(format!("{program} ended with {}{}{said}", output.status, if said.is_empty() { "" } else { ": " }))
}

#[cfg(test)]
mod tests {
    use super::super::body::sample;
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn a_program_gets_the_notice_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("told");
        let script = format!("cat > {0}; echo \"$QUORATE_NOTICE $QUORATE_TASK $GIVEN\" >> {0}", file.display());
        let environment = [("GIVEN".into(), "x".into())];
        assert_eq!(run(&shell(&script), &environment, &sample()).await, Ok(()));
        let told = std::fs::read_to_string(file).unwrap();
        assert!(told.starts_with("{\"id\":\"run-8f0c\"") && told.ends_with("failure web x\n"), "{told}");
        // It takes its input: in a test, unlike in the agent, a write to a pipe that nobody reads ends the process.
        let refused = run(&shell("cat >/dev/null; echo no pager >&2; exit 3"), &[], &sample()).await.unwrap_err();
        assert!(refused.contains("exit status: 3: no pager"), "{refused}");
        assert!(run(&["/nowhere".to_owned()], &[], &sample()).await.unwrap_err().starts_with("/nowhere: "));
    }
}
