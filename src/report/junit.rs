//! Gates as JUnit XML, which nearly every CI system displays.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use embq_core::error::{Error, Result};
use embq_core::evaluation::GateOutcome;

/// A test case for each gate and checkpoint.
///
/// # Errors
/// None that gates can cause.
pub fn render(suite: &str, gates: &[GateOutcome]) -> Result<String> {
    let mut report = Report::new("embq");
    let mut tests = TestSuite::new(suite);
    for gate in gates {
        let status = if gate.failed {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(gate.detail.clone()).set_type("gate");
            status
        } else {
            TestCaseStatus::success()
        };
        let mut case = TestCase::new(gate.expression.clone(), status);
        case.set_classname(gate.checkpoint.clone().unwrap_or_else(|| suite.to_owned()));
        case.set_system_out(gate.detail.clone());
        tests.add_test_case(case);
    }
    report.add_test_suite(tests);
    report.to_string().map_err(|error| Error::Setting {
        problem: format!("the gates cannot be written as JUnit: {error}"),
        cure: None,
    })
}
