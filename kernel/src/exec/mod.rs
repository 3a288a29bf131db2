//! Programs: from a file to an address space with a first stack.
//!
//! [`load`] follows `#!` lines ([`script`]) to an ELF file ([`elf`]), maps its segments into a new space with the clock's code
//! beside them ([`vdso`]), and puts arguments, environment and the auxiliary vector on its stack ([`stack`]). Nothing of the
//! caller changes: an error leaves the old program as it was.

mod elf;
mod script;
mod stack;
pub mod vdso;

use crate::arch::PAGE_SIZE;
use crate::file::File;
use crate::fs::{self, Place, access};
use crate::mm::space::{AddressSpace, PageSource};
use crate::mm::user::Sink;
use crate::random;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{O_RDONLY, S_IFREG, X_OK};

/// A program ready to run.
pub struct Loaded {
    pub space: Arc<AddressSpace>,
    /// Where it starts.
    pub ip: usize,
    /// Where a signal handler without a restorer of its own returns to.
    pub signal_return: usize,
    /// The program file: the interpreter's where the file named one by `#!`.
    pub place: Place,
    /// Its stack pointer.
    pub stack: usize,
}

/// Interpreters of interpreters: as many as Linux follows.
const DEPTH_MAX: usize = 5;
/// How many places the heap may start at behind the program, a page apart: 32 MiB of them.
const HEAP_PLACES: usize = 1 << 13;

/// execve(2) up to the point of no return: loads the program at `place`, which was called `name`, into a new space.
/// Checks that the running thread may execute it. ENOEXEC, EACCES, E2BIG, ENOMEM and what reading gives.
pub fn load(
    place: &Place,
    name: &[u8],
    mut arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
) -> Result<Loaded, Errno> {
    if arguments.is_empty() {
        // As Linux does since 5.18: programs count on argv[0].
        arguments.push(Vec::new());
    }
    let mut executable = Executable::open(place)?;
    let mut name = name.to_vec();
    for depth in 0.. {
        let Some(line) = script::parse(&executable.head()?)? else {
            break;
        };
        if depth == DEPTH_MAX {
            return Err(Errno::ELOOP);
        }
        script::prepend(&mut arguments, line.argument, &line.interpreter, name);
        executable = Executable::find(&line.interpreter)?;
        name = line.interpreter;
    }

    let program = elf::Program::read(&executable)?;
    let interpreter = match program.interpreter(&executable)? {
        Some(path) => {
            let executable = Executable::find(&path)?;
            Some((elf::Program::read(&executable)?, executable))
        }
        None => None,
    };
    let space = AddressSpace::new()?;
    let image = program.map(&executable, &space, elf::Role::Program)?;
    let (ip, base) = match interpreter {
        Some((program, executable)) => {
            let image = program.map(&executable, &space, elf::Role::Interpreter)?;
            (image.entry, image.base)
        }
        None => (image.entry, 0),
    };
    let heap = image.end + random::place(HEAP_PLACES) * PAGE_SIZE;
    space.set_heap_start(heap);

    let vdso = vdso::map(&space)?;
    let contents = stack::Contents {
        name: &name,
        arguments: &arguments,
        environment: &environment,
        vdso: vdso.header,
    };
    let stack = stack::build(&space, &contents, &image, base)?;
    Ok(Loaded {
        space,
        ip,
        stack,
        signal_return: vdso.signal_return,
        place: executable.place,
    })
}

/// A file that the running thread may execute.
struct Executable {
    place: Place,
    file: Arc<dyn File>,
    pages: Arc<dyn PageSource>,
}

impl Executable {
    fn open(place: &Place) -> Result<Executable, Errno> {
        let stat = place.stat();
        if stat.kind() != S_IFREG {
            return Err(Errno::EACCES);
        }
        access::current().check(&stat, X_OK)?;
        // By the inode: a file may be executed without being readable.
        let file = place.inode().clone().open(place, O_RDONLY)?;
        let pages = file.pages().map_err(|_| Errno::EACCES)?;
        Ok(Executable {
            place: place.clone(),
            file,
            pages,
        })
    }

    /// An interpreter by its path. A relative one starts from the working directory.
    fn find(path: &[u8]) -> Result<Executable, Errno> {
        let cwd = crate::task::with_current(|thread| thread.cwd());
        Executable::open(&fs::resolve(&cwd, path, true)?)
    }

    /// Up to `len` bytes from `offset` on; fewer at the end of the file.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(len, 0);
        let mut done = 0;
        while done < len {
            match self
                .file
                .read_at(offset + done as u64, &mut Sink::kernel(&mut bytes[done..]))?
            {
                0 => break,
                count => done += count,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// What tells one format from another: BINPRM_BUF_SIZE bytes.
    fn head(&self) -> Result<Vec<u8>, Errno> {
        self.read(0, 256)
    }
}
