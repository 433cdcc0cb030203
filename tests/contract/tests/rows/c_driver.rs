//! Calls made by the driver that was compiled from C.

use dirql::{Bench, BenchError};
use zerocopy::{FromBytes, IntoBytes};

use super::computer::name;
use super::protocol::{Call, Hands, Reply, Request, operation};

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)`
const IOCTL_CONTRACT: u32 = 0x22 << 16 | 0x800 << 2;

/// Enough for all that the driver keeps.
const LOG_BYTES: u32 = 128 * size_of::<Call>() as u32;

pub(crate) struct CDriver<'a>(pub(crate) &'a Bench);

impl CDriver<'_> {
    fn request(&self, device: usize, request: &Request, room: u32) -> Result<Vec<u8>, BenchError> {
        let input = request.as_bytes();
        let completion = self.0.ioctl(&name(device), IOCTL_CONTRACT, input, room)?;
        Ok(completion.expect_success()?.data)
    }
}

impl Hands for CDriver<'_> {
    fn perform(&self, device: usize, request: &Request) -> Result<Reply, BenchError> {
        let data = self.request(device, request, size_of::<Reply>() as u32)?;
        Ok(Reply::read_from_bytes(&data).expect("the driver's reply has this size"))
    }

    fn calls(&self, device: usize) -> Result<Vec<Call>, BenchError> {
        let data = self.request(device, &Request::new(operation::LOG), LOG_BYTES)?;
        let calls = data.chunks_exact(size_of::<Call>());
        Ok(calls
            .map(|call| Call::read_from_bytes(call).expect("the chunk has this size"))
            .collect())
    }
}
