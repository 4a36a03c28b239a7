//! A panic ends the process at once.
//!
//! An agent in which one thread is missing may still vote or hold a lease and be unable to act on it. So no thread's panic is
//! survived. The guardian then does what it does after SIGKILL: it ends the runs and tells the others, who need not wait.

/// From now on every panic of this process ends it with SIGABRT, after its message was written to standard error.
pub fn on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        std::process::abort();
    }));
}
