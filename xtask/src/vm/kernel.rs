//! A pinned kernel made ready to boot: its image, all its modules as a disk, and those that the root itself needs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::Apt;
use super::disk::Disk;
use super::image;
use super::kernels::Kernel;
use crate::architecture::Architecture;
use crate::sh;

/// What mounting the root takes beside the disks' drivers; a kernel has some of it built in.
const ROOT_NEEDS: [&str; 3] = ["crc32c_generic", "ext4", "overlay"];
/// Drivers of what no machine here has: the larger part of a kernel that is not made for clouds.
const LEFT_OUT: [&str; 8] = [
    "drivers/gpu",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/media",
    "drivers/net/ethernet",
    "drivers/net/wireless",
    "drivers/usb",
    "sound",
];
/// Where a package may have the modules: before and after Debian moved everything below `/usr`.
const PLACES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// A kernel's files in the cache.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) kernel: &'static Kernel,
    /// The bootable image.
    pub(super) image: PathBuf,
    /// The file system for `/lib/modules`.
    pub(super) modules: PathBuf,
    /// The modules to load before the root, in this order.
    pub(super) early: Vec<PathBuf>,
}

/// The kernel's files from the cache, or from Debian; `lists` makes sure that apt's lists are new.
pub(super) fn ready(kernel: &'static Kernel, cache: &Path, lists: impl FnOnce() -> Result<Apt>) -> Result<Ready> {
    let dir = cache.join(format!("{}_{}", kernel.release, kernel.version));
    if !dir.exists() {
        println!("getting Linux {} ({})", kernel.name, kernel.pins().join(" "));
        let unfinished = cache.join(format!("{}.new", kernel.name));
        let _ = fs::remove_dir_all(&unfinished);
        let packages = unfinished.join("packages");
        lists()?.download(kernel, &packages)?;
        prepare(kernel, &packages, &unfinished).with_context(|| format!("preparing Linux {}", kernel.name))?;
        fs::rename(&unfinished, &dir).with_context(|| format!("making {}", dir.display()))?;
    }
    let list = fs::read_to_string(dir.join("early")).with_context(|| format!("reading {}/early", dir.display()))?;
    Ok(Ready {
        kernel,
        image: dir.join("vmlinuz"),
        modules: dir.join("modules.ext4"),
        early: list.lines().map(|name| dir.join(name)).collect(),
    })
}

fn prepare(kernel: &Kernel, packages: &Path, to: &Path) -> Result<()> {
    let tree = to.join("tree");
    for package in fs::read_dir(packages)? {
        sh::run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(&tree))?;
    }
    let modules = PLACES.map(|place| tree.join(place)).into_iter().find(|place| place.exists());
    let modules = modules.context("no modules in the packages")?;
    let own = modules.join(kernel.release);
    let images = [tree.join(format!("boot/vmlinuz-{}", kernel.release)), own.join("vmlinuz")];
    let image = images.iter().find(|image| image.exists()).context("no kernel image in the packages")?;
    fs::copy(image, to.join("vmlinuz"))?;
    for folder in LEFT_OUT.map(|folder| own.join("kernel").join(folder)) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", folder.display()));
            }
            _ => {}
        }
    }
    uncompress(&own.join("kernel"))?;
    // depmod wants to find them where a running system has them.
    if modules != tree.join("lib/modules") {
        fs::create_dir_all(tree.join("lib"))?;
        fs::rename(&modules, tree.join("lib/modules"))?;
    }
    let modules = tree.join("lib/modules");
    sh::run(Command::new("depmod").arg("-b").arg(&tree).arg(kernel.release)).context("listing the modules")?;
    let own = modules.join(kernel.release);
    let list = fs::read_to_string(own.join("modules.dep")).context("reading modules.dep")?;
    let mut names = String::new();
    let drivers: &[&str] = match kernel.architecture {
        Architecture::X86_64 => &["nfit", "nd_pmem"],
        Architecture::Aarch64 => &["virtio_blk"],
    };
    for path in order(&list, &[drivers, &ROOT_NEEDS].concat())? {
        let name = path.rsplit('/').next().unwrap_or(path);
        fs::copy(own.join(path), to.join(name)).with_context(|| format!("copying {path}"))?;
        names += &format!("{name}\n");
    }
    fs::write(to.join("early"), names)?;
    image::make(Disk::Modules, &modules, &to.join("modules.ext4"))?;
    fs::remove_dir_all(&tree)?;
    fs::remove_dir_all(packages).context("removing the packages")
}

/// Unpacks compressed modules: a guest would be slow at it.
fn uncompress(dir: &Path) -> Result<()> {
    let mut packed = Vec::new();
    list_packed(dir, &mut packed)?;
    if packed.is_empty() {
        return Ok(());
    }
    for some in packed.chunks(500) {
        sh::run(Command::new("xz").arg("-d").args(some)).context("unpacking the modules")?;
    }
    Ok(())
}

fn list_packed(dir: &Path, packed: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list_packed(&path, packed)?;
        } else if path.extension().is_some_and(|extension| extension == "xz") {
            packed.push(path);
        }
    }
    Ok(())
}

/// The paths of these modules and of what they need, each after what it needs. One that isn't there is built in.
fn order<'a>(modules_dep: &'a str, names: &[&str]) -> Result<Vec<&'a str>> {
    let mut ordered: Vec<&str> = Vec::new();
    for name in names {
        let file = format!("/{name}.ko:");
        let Some(line) = modules_dep.lines().find(|line| line.contains(&file)) else { continue };
        let (path, needs) = line.split_once(':').context("a line of modules.dep without a colon")?;
        // What must be loaded first stands last.
        for path in needs.split_whitespace().rev().chain([path]) {
            if !ordered.contains(&path) {
                ordered.push(path);
            }
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_loaded_before_it() {
        let dep = "kernel/a/nfit.ko: kernel/a/libnvdimm.ko\n\
                   kernel/a/nd_pmem.ko: kernel/a/nd_btt.ko kernel/a/libnvdimm.ko\n\
                   kernel/a/libnvdimm.ko:\n\
                   kernel/b/other.ko:\n";
        let paths = order(dep, &["nfit", "nd_pmem", "built_in"]).unwrap();
        assert_eq!(paths, ["kernel/a/libnvdimm.ko", "kernel/a/nfit.ko", "kernel/a/nd_btt.ko", "kernel/a/nd_pmem.ko"]);
    }
}
