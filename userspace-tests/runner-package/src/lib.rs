/// ```
/// assert_eq!(runner_package::sum(&[1, 2, 3]), 6);
/// ```
pub fn sum(numbers: &[u32]) -> u32 {
    numbers.iter().sum()
}

#[test]
fn nothing_sums_to_zero() {
    assert_eq!(sum(&[]), 0);
}
