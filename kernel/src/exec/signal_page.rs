//! The page with the code that a signal handler returns to, on machines whose C libraries leave that code to the kernel
//! (`arch::signal::RETURN_CODE`). It is one page for all programs, mapped into each where chance puts it.

use crate::arch::{PAGE_SIZE, signal::RETURN_CODE};
use crate::fs;
use crate::mm::frame::Frame;
use crate::mm::space::{AddressSpace, Backing, Mapping, PageSource, Placement, Protection};
use alloc::string::String;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use spin::Once;

struct CodePage {
    frame: Frame,
    ino: u64,
}

impl PageSource for CodePage {
    fn page(&self, index: u64) -> Result<Frame, Errno> {
        self.present(index).ok_or(Errno::EFAULT)
    }

    fn present(&self, index: u64) -> Option<Frame> {
        (index == 0).then(|| self.frame.clone())
    }

    fn size(&self) -> u64 {
        PAGE_SIZE as u64
    }

    fn identity(&self) -> (u64, u64, String) {
        (fs::ANONYMOUS_DEVICE, self.ino, String::from("[sigpage]"))
    }
}

static PAGE: Once<Arc<CodePage>> = Once::new();

/// Maps the page; its address, or 0 on a machine that needs none.
pub fn map(space: &AddressSpace) -> Result<usize, Errno> {
    if RETURN_CODE.is_empty() {
        return Ok(0);
    }
    let page = PAGE.try_call_once(|| {
        let frame = Frame::zeroed().map_err(|_| Errno::ENOMEM)?;
        frame.write(0, RETURN_CODE);
        Ok::<_, Errno>(Arc::new(CodePage {
            frame,
            ino: fs::new_ino(),
        }))
    })?;
    let allowed = Protection::READ | Protection::EXEC;
    let backing = Backing::SharedFile {
        file: page.clone(),
        offset: 0,
    };
    space.map(
        0,
        PAGE_SIZE,
        Mapping {
            allowed,
            ..Mapping::new(allowed, backing)
        },
        Placement::Anywhere,
    )
}
