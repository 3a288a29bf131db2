//! What cargo promises to an integration test.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_package_is_the_working_directory() {
    let manifest = std::fs::read_to_string("Cargo.toml").expect("the manifest");
    assert!(manifest.contains(env!("CARGO_PKG_NAME")));
    let here = std::env::current_dir().expect("a working directory");
    assert_eq!(here, Path::new(env!("CARGO_MANIFEST_DIR")));
}

#[test]
fn the_environment_is_cargos() {
    assert_eq!(std::env::var("CARGO_PKG_NAME").as_deref(), Ok("runner-package"));
    assert_eq!(std::env::var("FOR_THE_RUNNER").as_deref(), Ok("a b"));
}

#[test]
fn its_programs_are_there() {
    let report = Command::new(env!("CARGO_BIN_EXE_report"))
        .args(["7", "two words"])
        .stdin(Stdio::null())
        .output()
        .expect("report runs");
    assert_eq!(report.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&report.stdout).starts_with(r#"["7", "two words"] in /"#));
}

#[test]
fn it_knows_its_own_file() {
    let me = std::env::current_exe().expect("a path");
    assert!(std::fs::metadata(&me).expect("a file").len() > 10_000);
}

#[test]
fn temporary_files_have_a_place() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("temporary");
    std::fs::write(&file, "text").expect("written");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "text");
}

#[test]
fn there_is_a_shell_with_the_commands_tests_call() {
    let output = Command::new("sh")
        .args(["-c", "echo one; echo two; exit 3"])
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\n");
    let output = Command::new("cat")
        .arg("Cargo.toml")
        .output()
        .expect("cat runs");
    assert_eq!(Some(output.stdout), std::fs::read("Cargo.toml").ok());
    let output = Command::new("env")
        .env_clear()
        .env("ONE", "two")
        .output()
        .expect("env runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ONE=two\n");
    let output = Command::new("pwd")
        .current_dir("/tmp")
        .output()
        .expect("pwd runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/tmp\n");
    let status = Command::new("false").status().expect("false runs");
    assert_eq!(status.code(), Some(1));
}
