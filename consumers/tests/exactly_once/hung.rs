//! Threads of a process that hang, while its others go on.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The thread of each of librdkafka's clients that keeps up the membership of a group, and tells the program what the group says.
pub const RDKAFKA_MAIN: &str = "rdk:main";

/// Threads that are stopped by ptrace(2), as no signal can: it stops all threads of a process. They go on when this is dropped.
pub struct Hung {
    /// Closed, they go on.
    stopped: Option<Sender<()>>,
    /// Only the thread that stopped them can let them go on.
    tracer: Option<JoinHandle<()>>,
}

impl Hung {
    /// Stops all threads of this name. The process has to be a child of this one.
    pub fn threads(process: u32, name: &str) -> Self {
        let threads = threads(process, name);
        assert!(
            !threads.is_empty(),
            "process {process} has no thread {name}"
        );
        let (stopped, until) = channel::<()>();
        let (ready, are_stopped) = channel();
        let tracer = std::thread::spawn(move || {
            for thread in &threads {
                stop(*thread).expect("a child can be traced");
            }
            let _ = ready.send(());
            // Ends with the error that nobody sends any more.
            let _ = until.recv();
            for thread in threads {
                // It only fails when the process is gone.
                let _ = ptrace::detach(thread, None);
            }
        });
        are_stopped.recv().expect("the threads are stopped");
        Self {
            stopped: Some(stopped),
            tracer: Some(tracer),
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.stopped = None;
        let _ = self.tracer.take().map(JoinHandle::join);
    }
}

fn stop(thread: Pid) -> nix::Result<()> {
    ptrace::seize(thread, ptrace::Options::empty())?;
    ptrace::interrupt(thread)?;
    waitpid(thread, Some(WaitPidFlag::__WALL))?;
    Ok(())
}

fn threads(process: u32, name: &str) -> Vec<Pid> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let tasks = std::fs::read_dir(tasks).expect("the process is there");
    let named = tasks.filter_map(|task| {
        let task = task.ok()?;
        let of = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let id = task.file_name().to_str()?.parse().ok()?;
        (of.trim_end() == name).then(|| Pid::from_raw(id))
    });
    named.collect()
}
