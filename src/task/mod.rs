//! When a task should run, and what a finished run means. Pure. (being written)

pub mod cron;
pub mod report;
pub mod spec;
