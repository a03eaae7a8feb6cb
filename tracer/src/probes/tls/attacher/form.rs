//! How this kernel takes a uprobe program, and what privileges that needs.

use aya::sys::{UProbeMultiFeature, is_uprobe_multi_supported};
use rustix::thread::CapabilitySet;

/// Which of the two forms of each program this kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One link for a file, since 6.6: takes CAP_BPF and CAP_PERFMON.
    Multi,
    /// A perf event: takes CAP_SYS_ADMIN on kernels that have the mend of CVE-2025-38466.
    Single,
}

impl Form {
    /// What this kernel takes.
    pub(in crate::probes::tls) fn of_kernel() -> Self {
        match is_uprobe_multi_supported(UProbeMultiFeature::LinkCreation) {
            Ok(true) => Self::Multi,
            Ok(false) | Err(_) => Self::Single,
        }
    }

    /// What it takes to attach.
    #[must_use]
    pub fn needs(self) -> CapabilitySet {
        let attach = CapabilitySet::BPF | CapabilitySet::PERFMON;
        match self {
            Self::Multi => attach,
            Self::Single => attach | CapabilitySet::SYS_ADMIN,
        }
    }

    /// Its name on the command line of the process that attaches.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Multi => "multi",
            Self::Single => "single",
        }
    }

    /// `None`: no form has this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Multi, Self::Single].into_iter().find(|form| form.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_known_by_its_name_and_no_other_word_is_one() {
        for form in [Form::Multi, Form::Single] {
            assert_eq!(Form::parse(form.name()), Some(form));
        }
        assert_eq!(Form::parse(""), None);
        assert_eq!(Form::parse("multi "), None);
    }
}
