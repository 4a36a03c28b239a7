//! What the tasks run: this very program, as `work SOCKET AGENT MILLISECONDS`. It tells the judge that it starts, that it
//! lives (every 20 ms) and that it ends. It is told its task, epoch and run by the environment, as any run.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(20);

pub(crate) fn work(args: &[String]) -> ExitCode {
    let [socket, agent, milliseconds] = args else { return ExitCode::from(2) };
    let word = |name| std::env::var(name).unwrap_or_else(|_| "none".to_owned());
    let (task, epoch, run) = (word("QUORATE_TASK"), word("QUORATE_EPOCH"), word("QUORATE_RUN_ID"));
    let Ok(stream) = UnixStream::connect(socket) else { return ExitCode::from(3) };
    let Ok(mut say) = stream.try_clone() else { return ExitCode::from(3) };
    let mut answers = BufReader::new(stream);
    let mut tell = |what: &str| {
        let mut answer = String::new();
        say.write_all(format!("{task} {epoch} {run} {agent} {what}\n").as_bytes()).is_ok()
            && answers.read_line(&mut answer).is_ok()
            && answer == "ok\n"
    };
    let until = Instant::now() + Duration::from_millis(milliseconds.parse().unwrap_or(0));
    if !tell("start") {
        return ExitCode::from(4);
    }
    while Instant::now() < until {
        std::thread::sleep(BEAT);
        if !tell("beat") {
            return ExitCode::from(4);
        }
    }
    if tell("end") { ExitCode::SUCCESS } else { ExitCode::from(4) }
}
