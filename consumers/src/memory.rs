//! How this process takes memory from the system.

use std::ffi::c_int;

/// The largest that glibc allows. Larger blocks are the system's again as soon as they are free.
const LARGE: c_int = 32 * 1024 * 1024;

/// Keeps free memory for what comes next, where large buffers come and go all the time. glibc would give each back to the system and have
/// the next one made anew, page by page, which costs more than what is done with it; and it would keep free memory for each thread apart,
/// though what one thread takes is mostly freed by another.
///
/// To be called before there are threads.
pub(crate) fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these are known parameters, and a value that is refused changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}
