//! The disks of a guest, and the labels by which it tells them apart.

/// Where ext4 has its label, in bytes from the beginning.
pub(super) const LABEL_AT: u64 = 1024 + 0x78;
/// The room for a label.
pub(super) const LABEL_LENGTH: usize = 16;

/// What a disk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// The user land, read only.
    Root,
    /// The kernel's modules, read only.
    Modules,
}

impl Disk {
    /// The label as it stands on the disk.
    pub(super) fn label(self) -> [u8; LABEL_LENGTH] {
        let mut label = [0; LABEL_LENGTH];
        for (to, from) in label.iter_mut().zip(self.name().bytes()) {
            *to = from;
        }
        label
    }

    /// The label as one writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Modules => "modules",
        }
    }
}
