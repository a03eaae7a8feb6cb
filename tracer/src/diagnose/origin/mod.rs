//! The origin's own answers of 500 to 599: no failures, and told apart. Why did it answer so?

mod advice;
mod cause;
mod evidence;
mod record;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub use cause::OriginCause;
pub use evidence::OriginEvidence;
pub use record::{OriginError, origin_error};
