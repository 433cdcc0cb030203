//! From `[Manufacturer]` to what is installed for each device.
//!
//! Sources: WDK, "INF Manufacturer Section" (which models section is used), "INF Models Section",
//! "INF DDInstall Section", "INF DDInstall.HW Section", "INF DDInstall.Services Section" and "INF
//! AddService Directive".

use crate::inf::registry;
use crate::inf::{
    Entry, Inf, InfError, InfProblem, Position, RegistryData, RegistryValue, Section, parse_number,
};

/// `SPSVCINST_ASSOCSERVICE`: this service drives the device.
const ASSOCIATED: u32 = 2;

/// Kinds of Windows that an INF can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductType {
    /// `VER_NT_WORKSTATION`
    Workstation = 1,
    /// `VER_NT_DOMAIN_CONTROLLER`
    DomainController = 2,
    /// `VER_NT_SERVER`
    Server = 3,
}

/// The Windows to install on. It is one for x64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Major version: 10 for Windows 10 and 11.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Build number.
    pub build: u32,
    /// Which kind.
    pub product: ProductType,
}

/// The service that an INF installs for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name of its registry key.
    pub name: String,
    /// The file name of the driver, without directories.
    pub file_name: String,
    /// `StartType`: 3 for a driver that is started on demand.
    pub start_type: u32,
    /// The values under its key.
    pub registry: Vec<RegistryValue>,
}

/// One device that an INF installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What it is called.
    pub description: String,
    /// Its hardware IDs, then its compatible IDs.
    pub hardware_ids: Vec<String>,
    /// The install section that is used, decorated.
    pub section: String,
    /// The values under its hardware key, such as those of `Interrupt Management`.
    pub hardware: Vec<RegistryValue>,
    /// The values under its software key.
    pub software: Vec<RegistryValue>,
    /// The service that drives it.
    pub service: Option<Service>,
}

impl Device {
    /// A value under the hardware key. Case does not count.
    #[must_use]
    pub fn hardware_value(&self, subkey: &str, name: &str) -> Option<&RegistryData> {
        self.hardware
            .iter()
            .find(|value| value.is(subkey, name))
            .map(|value| &value.data)
    }
}

impl Inf {
    /// The devices that are installed on `target`, in the order of the file.
    ///
    /// # Errors
    /// `[Manufacturer]` or a section that it leads to is missing; no models are for this Windows
    /// on x64; a registry value or a service is malformed. An INF that installs a driver without
    /// a device, by `[DefaultInstall]`, needs no `[Manufacturer]`.
    pub fn devices(&self, target: Target) -> Result<Vec<Device>, InfError> {
        if self.section("Manufacturer").is_none() && self.is_for_no_device() {
            return Ok(Vec::new());
        }
        let manufacturers = self.required("Manufacturer", Position { line: 1, column: 1 })?;
        let mut found = false;
        let mut devices = Vec::new();
        for manufacturer in &manufacturers.entries {
            let Some(section) = self.models(manufacturer, target)? else {
                continue;
            };
            found = true;
            for model in &section.entries {
                devices.push(self.device(model)?);
            }
        }
        if found {
            return Ok(devices);
        }
        let Target {
            major,
            minor,
            build,
            ..
        } = target;
        Err(InfProblem::NoModels {
            major,
            minor,
            build,
        }
        .at(manufacturers.position))
    }

    /// Source: WDK, "Creating a Primitive Driver"; "INF DefaultInstall Section".
    fn is_for_no_device(&self) -> bool {
        [
            "DefaultInstall",
            "DefaultInstall.NT",
            "DefaultInstall.NTamd64",
        ]
        .iter()
        .any(|name| self.section(name).is_some())
    }

    /// The models section for `target`: of those that fit it, the one that asks for most.
    fn models(&self, entry: &Entry, target: Target) -> Result<Option<&Section>, InfError> {
        let mut best: Option<(Decoration, &str, Position)> = None;
        for field in entry.values.get(1..).unwrap_or_default() {
            let decoration = Decoration::parse(&field.text).filter(|found| found.fits(target));
            if let Some(decoration) = decoration
                && best.as_ref().is_none_or(|(best, ..)| decoration > *best)
            {
                best = Some((decoration, &field.text, field.position));
            }
        }
        let Some((_, decoration, position)) = best else {
            return Ok(None);
        };
        let name = self.required_text(entry, 0, "the name of the models section")?;
        self.required(&format!("{name}.{decoration}"), position)
            .map(Some)
    }

    /// `description = install-section, hardware-id, compatible-id…`
    fn device(&self, model: &Entry) -> Result<Device, InfError> {
        let description = match &model.key {
            Some(field) => self.text(field)?,
            None => {
                return Err(InfProblem::Missing {
                    what: "the description",
                }
                .at(model.position));
            }
        };
        let name = self.required_text(model, 0, "the name of the install section")?;
        let ids = model.values.get(1..).unwrap_or_default().iter();
        let ids = ids
            .filter(|field| !field.text.is_empty())
            .map(|field| self.text(field));
        let section = self.install_section(&name, model.position)?;
        let hardware = self.section(&format!("{}.HW", section.name));
        let services = self.section(&format!("{}.Services", section.name));
        Ok(Device {
            description,
            hardware_ids: ids.collect::<Result<_, _>>()?,
            section: section.name.clone(),
            hardware: hardware.map_or(Ok(Vec::new()), |section| registry::values(self, section))?,
            software: registry::values(self, section)?,
            service: services.map_or(Ok(None), |section| self.service(section))?,
        })
    }

    /// The section for x64, else the one for every NT, else the one for all.
    fn install_section(&self, name: &str, position: Position) -> Result<&Section, InfError> {
        let for_x64 = self.section(&format!("{name}.NTamd64"));
        let for_nt = || self.section(&format!("{name}.NT"));
        for_x64
            .or_else(for_nt)
            .map_or_else(|| self.required(name, position), Ok)
    }

    /// `AddService = name, flags, service-install-section, …`
    fn service(&self, services: &Section) -> Result<Option<Service>, InfError> {
        let mut chosen = None;
        let sections = self.with_needs(services)?;
        let entries = sections
            .iter()
            .flat_map(|section| self.entries(section, "AddService"));
        for entry in entries {
            // Without a name and a section the entry says that there is no service.
            let real = entry.value(0).is_some() && entry.value(2).is_some();
            if self.number(entry, 1, "Flags")? & ASSOCIATED != 0 {
                chosen = real.then_some(entry);
                break;
            }
            chosen = chosen.or(real.then_some(entry));
        }
        let Some(entry) = chosen else {
            return Ok(None);
        };
        let section = self.required_text(entry, 2, "the service install section")?;
        let section = self.required(&section, entry.position)?;
        let binary = self.entries(section, "ServiceBinary").next();
        let missing = || {
            InfProblem::Missing {
                what: "ServiceBinary",
            }
            .at(section.position)
        };
        let binary = self.required_text(binary.ok_or_else(missing)?, 0, "ServiceBinary")?;
        let start = self.entries(section, "StartType").next();
        Ok(Some(Service {
            name: self.required_text(entry, 0, "the name of the service")?,
            file_name: binary
                .rsplit(['\\', '/'])
                .next()
                .unwrap_or_default()
                .to_owned(),
            start_type: start.map_or(Ok(3), |entry| self.number(entry, 0, "StartType"))?,
            registry: registry::values(self, section)?,
        }))
    }
}

/// `NTamd64.major.minor.product.suite.build`, ordered by how much it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decoration {
    major: u32,
    minor: u32,
    build: u32,
    product: Option<u32>,
}

impl Decoration {
    /// `None` if it is not for x64, not well-formed, or asks for a suite: none are simulated.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("NTamd64") {
            return None;
        }
        let mut number = || match parts.next() {
            None | Some("") => Some(None),
            Some(text) => parse_number(text)
                .and_then(|n| u32::try_from(n).ok())
                .map(Some),
        };
        let (major, minor, product, suite, build) =
            (number()?, number()?, number()?, number()?, number()?);
        if suite.is_some_and(|suite| suite != 0) || parts.next().is_some() {
            return None;
        }
        Some(Self {
            major: major.unwrap_or(0),
            minor: minor.unwrap_or(0),
            build: build.unwrap_or(0),
            product,
        })
    }

    fn fits(&self, target: Target) -> bool {
        let Target {
            major,
            minor,
            build,
            product,
        } = target;
        let version = (self.major, self.minor, self.build) <= (major, minor, build);
        version && self.product.is_none_or(|wanted| wanted == product as u32)
    }
}
