//! Addresses for the calls, good and bad.

/// Bytes that can be written, directly before a page that cannot be touched.
pub struct Edge {
    start: usize,
    len: usize,
}

impl Edge {
    pub fn new() -> Edge {
        const PAGE: usize = 4096;
        const LEN: usize = 32 * PAGE;
        // SAFETY: a new mapping, which nobody else knows.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                LEN + PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        let start = start as usize;
        // SAFETY: the mapping's last page, which nothing lies in.
        let refused = unsafe { libc::mprotect((start + LEN) as *mut _, PAGE, libc::PROT_NONE) };
        assert_eq!(refused, 0, "mprotect");
        Edge { start, len: LEN }
    }

    /// An address with `room` bytes before the untouchable page.
    pub fn with_room(&self, room: usize) -> usize {
        self.start + self.len - room.min(self.len)
    }

    /// The last `room` bytes before the untouchable page.
    pub fn bytes(&mut self, room: usize) -> &mut [u8] {
        let room = room.min(self.len);
        // SAFETY: within the mapping, and borrowed as this value is.
        unsafe { std::slice::from_raw_parts_mut((self.start + self.len - room) as *mut u8, room) }
    }

    /// A word for an address that is no good; `None` for other words.
    pub fn bad(&self, word: &str) -> Option<usize> {
        match word {
            "null" => Some(0),
            "unmapped" => Some(self.start + self.len),
            "readonly" => Some(c"nothing is written here".as_ptr() as usize),
            "kernel" => Some(0xffff_8000_0000_1000),
            _ => None,
        }
    }
}
