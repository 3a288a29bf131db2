//! What the test programs share.

/// A name, and what must hold.
pub type Test = (&'static str, fn() -> Result<(), String>);

/// Runs the tests whose names contain one of the program's arguments (all without arguments), prints a line for each, and
/// exits with 0, or with 101 when one failed.
pub fn run(tests: &[Test]) -> ! {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = 0;
    for (name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(why) => {
                println!("test {name} ... FAILED: {why}");
                failed += 1;
            }
        }
    }
    std::process::exit(if failed > 0 { 101 } else { 0 });
}

/// Fails the test that calls it, with the condition's text, unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), stringify!($condition)));
        }
    };
}

/// Fails the test that calls it unless two values are equal.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr) => {
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!(
                "line {}: {} is {left:?}, not {right:?}",
                line!(),
                stringify!($left)
            ));
        }
    };
}
