//! One record as a file in the current folder. A file that is there is never written to.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Names that are tried.
const TRIES: u32 = 100;

/// Makes the file, under this name or the next one that is free; gives the name.
pub(super) fn write(name: &str, text: &str) -> io::Result<String> {
    write_in(Path::new("."), name, text)
}

fn write_in(folder: &Path, name: &str, text: &str) -> io::Result<String> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "json"));
    for number in 1..=TRIES {
        let name = if number == 1 { name.to_owned() } else { format!("{stem}-{number}.{extension}") };
        match OpenOptions::new().write(true).create_new(true).mode(0o640).open(folder.join(&name)) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_there_stays_as_it_is_and_so_does_what_a_link_leads_to() {
        let folder = std::env::temp_dir().join(format!("tracer-keep-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(folder.join("elsewhere"), folder.join("a.json")).unwrap();
        assert_eq!(write_in(&folder, "a.json", "1").unwrap(), "a-2.json");
        assert_eq!(write_in(&folder, "a.json", "2").unwrap(), "a-3.json");
        assert_eq!(fs::read_to_string(folder.join("a-2.json")).unwrap(), "1");
        assert!(!folder.join("elsewhere").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
