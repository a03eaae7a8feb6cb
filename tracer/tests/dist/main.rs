//! What is shipped beside the binary agrees with it: the dashboard, the alert rules, the runbook, the unit, a fleet's
//! table.

mod clickhouse;
mod dashboard;
mod lint;
#[path = "../recorded/mod.rs"]
mod recorded;
mod rules;
mod runbook;
mod service;
mod vector;
