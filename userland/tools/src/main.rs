//! The coreutils in one program: it is the one it is called by, or that its first argument names.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use uucore::locale;

type Arguments = std::vec::IntoIter<OsString>;

/// A crate's name and its entrance.
type Tool = (&'static str, fn(Arguments) -> i32);

macro_rules! tools {
    ($($tool:ident),* $(,)?) => { &[$((stringify!($tool), |arguments| $tool::uumain(arguments))),*] };
}

/// The crates of the manifest, which is where `cargo xtask` finds their names for the links.
const TOOLS: &[Tool] = tools![
    uu_basename,
    uu_cat,
    uu_chmod,
    uu_cp,
    uu_cut,
    uu_date,
    uu_dd,
    uu_df,
    uu_dirname,
    uu_du,
    uu_echo,
    uu_env,
    uu_false,
    uu_head,
    uu_id,
    uu_kill,
    uu_ln,
    uu_ls,
    uu_mkdir,
    uu_mkfifo,
    uu_mktemp,
    uu_mv,
    uu_nproc,
    uu_printf,
    uu_pwd,
    uu_readlink,
    uu_rm,
    uu_rmdir,
    uu_seq,
    uu_sleep,
    uu_sort,
    uu_stat,
    uu_tail,
    uu_tee,
    uu_test,
    uu_timeout,
    uu_touch,
    uu_tr,
    uu_true,
    uu_tty,
    uu_uname,
    uu_uniq,
    uu_wc,
    uu_whoami,
    uu_yes,
];

/// The tool of a name; `[` is test(1).
fn tool(name: &str) -> Option<&'static Tool> {
    let name = if name == "[" { "test" } else { name };
    TOOLS.iter().find(|(tool, _)| tool.strip_prefix("uu_") == Some(name))
}

fn called(argument: Option<&OsString>) -> Option<&'static Tool> {
    tool(Path::new(argument?).file_name()?.to_str()?)
}

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let tool = called(arguments.first()).or_else(|| {
        arguments.drain(..arguments.len().min(1));
        called(arguments.first())
    });
    let Some((name, run)) = tool else {
        let names: Vec<&str> = TOOLS.iter().filter_map(|(name, _)| name.strip_prefix("uu_")).collect();
        eprintln!("usage: tools NAME [ARGUMENT]...\n\n{}", names.join(" "));
        return ExitCode::from(127);
    };
    uucore::panic::mute_sigpipe_panic();
    if let Err(error) = locale::setup_localization(uucore::get_canonical_util_name(name)) {
        eprintln!("{name}: {error}");
    }
    let status = run(arguments.into_iter());
    if let Err(error) = std::io::stdout().flush() {
        eprintln!("{name}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(status as u8)
}
