//! The kernel's parameters, read once from the boot command line.

use core::net::Ipv4Addr;
use spin::Once;

/// Where file descriptor 0 of the first program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    None,
    /// A pipe fed from the serial line.
    Pipe,
    /// The console as a terminal; descriptors 1 and 2 are it too.
    Tty,
}

/// The parameters; the README lists them for users.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Console bytes carry frames (`console=framed`) for `cargo xtask`, or are printed as they are.
    pub framed: bool,
    pub log: log::LevelFilter,
    pub trace: bool,
    pub trace_wakeups: bool,
    /// Describe programs that die of a fault, for a backtrace.
    pub crashes: bool,
    /// Run the in-kernel tests whose name contains this, instead of a program.
    pub ktest: Option<&'static str>,
    /// Seconds without progress after which the machine's state is dumped.
    pub watchdog_s: Option<u64>,
    pub stdin: Stdin,
    /// Rows and columns of the console's terminal.
    pub window: (u16, u16),
    /// Whether programs lie where chance puts them; `aslr=off` is for debuggers.
    pub aslr: bool,
    /// The network behind the network card, if that is to be used.
    pub network: Option<Network>,
    /// Physical address and interrupt line of a virtio device that nothing else tells of.
    pub virtio_mmio: Option<(u64, u32)>,
    /// The program to run where the initramfs does not name one.
    pub init: Option<&'static str>,
}

/// The network behind the network card: `net=10.0.2.15/24,10.0.2.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: [u8; 4],
    /// Bits of the address that are the network's.
    pub prefix_len: u8,
    pub gateway: [u8; 4],
}

static PARAMETERS: Once<Parameters> = Once::new();

/// The parameters of this boot; defaults until [`parse`] has run.
pub fn parameters() -> &'static Parameters {
    PARAMETERS.get().unwrap_or(&DEFAULT)
}

static DEFAULT: Parameters = Parameters {
    framed: false,
    log: log::LevelFilter::Warn,
    trace: false,
    trace_wakeups: false,
    crashes: false,
    ktest: None,
    watchdog_s: None,
    stdin: Stdin::Tty,
    aslr: true,
    window: (24, 80),
    network: None,
    virtio_mmio: None,
    init: None,
};

/// Reads the command line. An unknown word is passed over: a boot loader may add its own.
pub fn parse(line: &'static str) {
    PARAMETERS.call_once(|| {
        let mut parameters = DEFAULT;
        for word in line.split_ascii_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "console" => parameters.framed = value == "framed",
                "log" => parameters.log = value.parse().unwrap_or(parameters.log),
                "trace" => parameters.trace = true,
                "trace_wakeups" => parameters.trace_wakeups = true,
                "crashes" => parameters.crashes = true,
                "ktest" => parameters.ktest = Some(value),
                "watchdog" => parameters.watchdog_s = value.parse().ok(),
                "stdin" => {
                    parameters.stdin = match value {
                        "none" => Stdin::None,
                        "pipe" => Stdin::Pipe,
                        _ => Stdin::Tty,
                    }
                }
                "window" => parameters.window = window(value).unwrap_or(parameters.window),
                "aslr" => parameters.aslr = value != "off",
                "net" => parameters.network = network(value),
                "virtio_mmio.device" => parameters.virtio_mmio = virtio_mmio(value),
                "init" => parameters.init = Some(value),
                _ => {}
            }
        }
        parameters
    });
}

/// A size written as `24x80`.
fn window(text: &str) -> Option<(u16, u16)> {
    let (rows, columns) = text.split_once('x')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}

fn network(text: &str) -> Option<Network> {
    let (own, gateway) = text.split_once(',')?;
    let (address, prefix_len) = own.split_once('/')?;
    let octets = |text: &str| text.parse().ok().map(|address: Ipv4Addr| address.octets());
    Some(Network {
        address: octets(address)?,
        prefix_len: prefix_len.parse().ok().filter(|&len| len <= 32)?,
        gateway: octets(gateway)?,
    })
}

/// A device as Linux's parameter has it, `SIZE@0xADDRESS:LINE`.
fn virtio_mmio(text: &str) -> Option<(u64, u32)> {
    let (_, place) = text.split_once("@0x")?;
    let (address, line) = place.split_once(':')?;
    Some((u64::from_str_radix(address, 16).ok()?, line.parse().ok()?))
}
