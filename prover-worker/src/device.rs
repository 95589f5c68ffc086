//! Which device a stage computes on.

use crds::Device;

/// Whether this build has the device.
///
/// # Errors
/// What to write instead.
pub fn check_device(device: Device) -> Result<(), &'static str> {
    match device {
        Device::Auto | Device::Cpu => Ok(()),
        Device::Gpu => Err("spec.device is Gpu, and this build has no GPU device: use Auto or Cpu"),
    }
}

/// The device's name in a result record.
pub(crate) const fn name(device: Device) -> &'static str {
    match device {
        Device::Auto | Device::Cpu => "cpu",
        Device::Gpu => "none",
    }
}
