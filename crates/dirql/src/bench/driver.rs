//! Drivers before they are loaded: code and INF.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dirql_host::native;
use dirql_image::Image;
use dirql_image::inf::{self, Inf, RegistryData, RegistryValue};
use dirql_kernel::WindowsVersion;

use super::error::BenchError;

/// A driver to load: a `.sys` file, its bytes, or Rust functions in this process.
#[derive(Clone, Debug)]
pub struct Driver {
    pub(super) name: String,
    pub(super) code: Code,
    pub(super) inf: Option<InfFile>,
    /// Values below the key of its service, over those of the INF.
    pub(super) registry: Vec<RegistryValue>,
    /// Its PDB.
    pub(super) pdb: Option<Arc<[u8]>>,
    /// Where its image is, and drivers that it imports from may be.
    pub(super) directory: Option<PathBuf>,
    /// The files that its image imports from, as it names them.
    imported_files: Vec<String>,
    /// Whether its code uses registers beyond those of SSE.
    extended: bool,
    time_stamps: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Code {
    Image(Vec<u8>),
    Native(native::Entry),
}

#[derive(Clone, Debug)]
pub(super) struct InfFile {
    pub(super) file: String,
    inf: Inf,
}

impl Driver {
    /// The `.sys` file at `path`. Its PDB is looked for beside it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, BenchError> {
        let path = path.as_ref();
        let bytes = read(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A name alone has an empty path in front, which is no directory that can be listed.
        let directory = path.parent().map(|parent| Path::new(".").join(parent));
        let pdb = directory
            .as_ref()
            .and_then(|directory| read_pdb(&bytes, directory));
        Ok(Self {
            pdb,
            directory,
            ..Self::image(name, bytes)
        })
    }

    pub(super) const fn has_extended_code(&self) -> bool {
        self.extended
    }

    /// Whether its code may read the time-stamp counter.
    pub(super) const fn may_read_time_stamps(&self) -> bool {
        self.time_stamps
    }

    /// A copy that has nothing in common with this one.
    pub(crate) fn apart(&self) -> Self {
        Self {
            pdb: self.pdb.as_deref().map(Arc::from),
            ..self.clone()
        }
    }

    /// The bytes of a `.sys` file of this name.
    #[must_use]
    pub fn image(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        // What is no image is so when it is loaded, which says why.
        let image = Image::parse(&bytes).ok();
        Self {
            name: name.into(),
            imported_files: image.as_ref().map(imported_files).unwrap_or_default(),
            extended: image.as_ref().is_some_and(dirql_image::has_extended_code),
            time_stamps: image
                .as_ref()
                .is_some_and(dirql_image::may_read_time_stamps),
            code: Code::Image(bytes),
            inf: None,
            registry: Vec::new(),
            pdb: None,
            directory: None,
        }
    }

    /// A Rust function with the Win64 convention that is a DriverEntry; see
    /// [`dirql_host::native`].
    #[must_use]
    pub fn native(name: impl Into<String>, entry: native::Entry) -> Self {
        Self {
            name: name.into(),
            code: Code::Native(entry),
            inf: None,
            registry: Vec::new(),
            pdb: None,
            directory: None,
            imported_files: Vec::new(),
            extended: false,
            time_stamps: false,
        }
    }

    /// Installs it with the INF at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not an INF.
    pub fn inf_file(self, path: impl AsRef<Path>) -> Result<Self, BenchError> {
        let path = path.as_ref();
        let bytes = read(path)?;
        self.inf(path.display().to_string(), &bytes)
    }

    /// Installs it with an INF, given as the bytes of a file of this name.
    ///
    /// # Errors
    /// It is not an INF.
    pub fn inf(mut self, file: impl Into<String>, bytes: &[u8]) -> Result<Self, BenchError> {
        let file = file.into();
        let inf = Inf::parse(bytes).map_err(|error| BenchError::Inf {
            file: file.clone(),
            error,
        })?;
        self.inf = Some(InfFile { file, inf });
        Ok(self)
    }

    /// Sets a value below the key of its service; `subkey` may be empty.
    #[must_use]
    pub fn registry(
        self,
        subkey: impl Into<String>,
        name: impl Into<String>,
        data: RegistryData,
    ) -> Self {
        let (subkey, name) = (subkey.into(), name.into());
        self.registry_values([RegistryValue { subkey, name, data }])
    }

    /// Sets values below the key of its service.
    #[must_use]
    pub fn registry_values(mut self, values: impl IntoIterator<Item = RegistryValue>) -> Self {
        self.registry.extend(values);
        self
    }

    /// Its image's bytes; none for Rust functions.
    pub(crate) fn image_bytes(&self) -> &[u8] {
        match &self.code {
            Code::Image(bytes) => bytes,
            Code::Native(_) => &[],
        }
    }

    /// Its file's name.
    pub(crate) fn file_name(&self) -> &str {
        &self.name
    }

    /// Its PDB, if there is one.
    pub(crate) fn pdb(&self) -> Option<&[u8]> {
        self.pdb.as_deref()
    }

    /// What its INF says, in a form that is the same for INFs that say the same.
    pub(crate) fn inf_text(&self) -> String {
        let inf = self.inf.as_ref();
        inf.map(|inf| format!("{:?}", inf.inf)).unwrap_or_default()
    }

    /// The files that its image imports from, as it names them; none for one that is no image.
    #[must_use]
    pub fn imported_files(&self) -> &[String] {
        &self.imported_files
    }

    /// A driver that it imports from, if its file lies beside its own.
    pub(crate) fn beside(&self, file: &str) -> Option<Result<Self, BenchError>> {
        let directory = self.directory.as_ref()?;
        let entries = std::fs::read_dir(directory).ok()?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        let is_it = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().eq_ignore_ascii_case(file))
        };
        paths.iter().find(|path| is_it(path)).map(Self::file)
    }

    /// Whether its file has this name.
    #[must_use]
    pub fn is_file(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The name of its service: the file's name without extension.
    #[must_use]
    pub fn service(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&self.name, |(stem, _)| stem)
    }
}

impl InfFile {
    /// The values that it puts below the key of the driver's service. An INF that cannot be used
    /// is a matter of the devices that need it.
    pub(super) fn service_values(&self, windows: WindowsVersion) -> Vec<RegistryValue> {
        let devices = self.devices(windows).unwrap_or_default();
        let services = devices.into_iter().filter_map(|device| device.service);
        services.flat_map(|service| service.registry).collect()
    }

    /// The devices that it installs on this Windows.
    pub(super) fn devices(&self, windows: WindowsVersion) -> Result<Vec<inf::Device>, BenchError> {
        let (major, minor, build) = windows.numbers();
        let product = match windows {
            WindowsVersion::Server2003 => inf::ProductType::Server,
            _ => inf::ProductType::Workstation,
        };
        let target = inf::Target {
            major,
            minor,
            build,
            product,
        };
        self.inf.devices(target).map_err(|error| BenchError::Inf {
            file: self.file.clone(),
            error,
        })
    }
}

/// The PDB that an image names, if it lies in `directory`. It is read with the image, because a
/// run may not open files.
fn read_pdb(image: &[u8], directory: &Path) -> Option<Arc<[u8]>> {
    let image = dirql_image::Image::parse(image).ok()?;
    let name = image.code_view().ok()??.file_name().to_owned();
    Some(std::fs::read(directory.join(name)).ok()?.into())
}

/// The files that an image imports from.
fn imported_files(image: &Image) -> Vec<String> {
    let modules = image.imports();
    let mut names: Vec<String> = modules.map(|import| import.module.to_owned()).collect();
    names.dedup();
    names
}

fn read(path: &Path) -> Result<Vec<u8>, BenchError> {
    std::fs::read(path).map_err(|error| BenchError::File {
        path: path.display().to_string(),
        error,
    })
}
