use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::io::create_disposition::{FILE_CREATE, FILE_OPEN, FILE_OVERWRITE_IF};
use dirql_abi::io::create_result;
use dirql_abi::irp::{IoStatusBlock, major};
use dirql_abi::object::ObjectAttributes;
use dirql_rules::ids;

use super::{Completion, CreateRequest, class};
use crate::testing::Bench;
use crate::{Config, Ddi, DriverPtr, Kernel};

const SYNCHRONOUS: u32 = 0x20;

/// A driver's variables.
#[derive(Clone, Copy)]
struct Variables {
    handle: DriverPtr<u64>,
    attributes: DriverPtr<ObjectAttributes>,
    block: DriverPtr<IoStatusBlock>,
    buffer: u64,
    offset: DriverPtr<i64>,
}

fn bench() -> (Bench, Variables) {
    let bench = Bench::new(Config::default());
    let variables = Variables {
        handle: DriverPtr::new(bench.variable(8)),
        attributes: DriverPtr::new(bench.variable(48)),
        block: DriverPtr::new(bench.variable(16)),
        buffer: bench.variable(256),
        offset: DriverPtr::new(bench.variable(8)),
    };
    (bench, variables)
}

impl Variables {
    fn name(self, bench: &Bench, name: &str) {
        let attributes = ObjectAttributes {
            length: 48,
            object_name: bench.unicode(name),
            ..zerocopy::FromZeros::new_zeroed()
        };
        bench.kernel.write(self.attributes, attributes).unwrap();
    }

    /// The handle and what was done.
    fn open(
        self,
        kernel: &Kernel,
        disposition: u32,
        options: u32,
    ) -> Ddi<Result<(u64, u64), NtStatus>> {
        let request = CreateRequest {
            access: 0x12_019F,
            attributes: 0x80,
            share: 0,
            disposition,
            options,
        };
        let status = kernel.zw_create_file(self.handle, self.attributes, self.block, request)?;
        if !status.is_success() {
            return Ok(Err(status));
        }
        Ok(Ok((
            kernel.read(self.handle)?,
            kernel.read(self.block)?.information,
        )))
    }

    fn transfer(
        self,
        kernel: &Kernel,
        handle: u64,
        function: u8,
        length: u32,
        offset: Option<i64>,
    ) -> Ddi<NtStatus> {
        let place = match offset {
            Some(offset) => {
                kernel.write(self.offset, offset)?;
                self.offset
            }
            None => DriverPtr::NULL,
        };
        let completion = Completion {
            event: 0,
            apc_routine: 0,
            status_block: self.block,
        };
        kernel.zw_transfer_file(handle, function, completion, self.buffer, length, place)
    }

    fn read(
        self,
        kernel: &Kernel,
        handle: u64,
        length: u32,
        offset: Option<i64>,
    ) -> Ddi<Result<Vec<u8>, NtStatus>> {
        let status = self.transfer(kernel, handle, major::IRP_MJ_READ, length, offset)?;
        if !status.is_success() {
            return Ok(Err(status));
        }
        let bytes = kernel.read(self.block)?.information;
        Ok(Ok(kernel.read_bytes(self.buffer, bytes as usize)?))
    }

    fn write(
        self,
        kernel: &Kernel,
        handle: u64,
        data: &[u8],
        offset: Option<i64>,
    ) -> Ddi<NtStatus> {
        kernel.write_bytes(self.buffer, data)?;
        self.transfer(
            kernel,
            handle,
            major::IRP_MJ_WRITE,
            data.len() as u32,
            offset,
        )
    }
}

#[test]
fn what_is_written_is_read_again_and_the_position_follows() {
    let (bench, v) = bench();
    v.name(&bench, r"\??\C:\Temp\Log.txt");
    bench.on_thread(move |kernel| {
        let (handle, done) = v.open(kernel, FILE_CREATE, SYNCHRONOUS)?.unwrap();
        assert_eq!(done, create_result::FILE_CREATED);
        assert_eq!(v.write(kernel, handle, b"one ", None)?, NtStatus::SUCCESS);
        assert_eq!(v.write(kernel, handle, b"two", None)?, NtStatus::SUCCESS);
        assert_eq!(v.write(kernel, handle, b"!", Some(-1))?, NtStatus::SUCCESS);
        assert_eq!(v.read(kernel, handle, 100, Some(4))?, Ok(b"two!".to_vec()));
        assert_eq!(
            v.read(kernel, handle, 100, None)?,
            Err(NtStatus::END_OF_FILE)
        );
        assert_eq!(kernel.zw_close(handle)?, NtStatus::SUCCESS);
        Ok(())
    });
    assert_eq!(bench.kernel.file(r"\temp\log.txt").unwrap(), b"one two!");
    assert_eq!(bench.rules(), []);
}

#[test]
fn a_file_that_the_bench_put_there_is_found_by_every_name_of_the_drive() {
    let (bench, v) = bench();
    bench
        .kernel
        .put_file(r"\Windows\System32\drivers\fw.bin", b"firmware".to_vec());
    for name in [
        r"\SystemRoot\System32\DRIVERS\fw.bin",
        r"\??\c:\windows\system32\drivers\FW.BIN",
        r"\DosDevices\C:\Windows\System32\drivers\fw.bin",
        r"\Device\HarddiskVolume1\Windows\System32\drivers\fw.bin",
    ] {
        v.name(&bench, name);
        let read = bench.on_thread(move |kernel| {
            let (handle, _) = v.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
            let read = v.read(kernel, handle, 8, None)?;
            kernel.zw_close(handle)?;
            Ok(read)
        });
        assert_eq!(read, Ok(b"firmware".to_vec()), "{name}");
    }
}

#[test]
fn what_is_not_there_is_told_apart() {
    let (bench, v) = bench();
    for (name, disposition, options, expected) in [
        (
            r"\??\C:\Temp\no",
            FILE_OPEN,
            0,
            NtStatus::OBJECT_NAME_NOT_FOUND,
        ),
        (
            r"\??\C:\none\no",
            FILE_OPEN,
            0,
            NtStatus::OBJECT_PATH_NOT_FOUND,
        ),
        (
            r"\??\C:\none\no",
            FILE_CREATE,
            0,
            NtStatus::OBJECT_PATH_NOT_FOUND,
        ),
        (
            r"\??\C:\Temp",
            FILE_CREATE,
            0,
            NtStatus::OBJECT_NAME_COLLISION,
        ),
        (
            r"\??\C:\Temp",
            FILE_OPEN,
            0x40,
            NtStatus::FILE_IS_A_DIRECTORY,
        ),
        (r"\??\D:\x", FILE_OPEN, 0, NtStatus::OBJECT_PATH_NOT_FOUND),
        ("relative", FILE_OPEN, 0, NtStatus::OBJECT_PATH_SYNTAX_BAD),
    ] {
        v.name(&bench, name);
        let found = bench.on_thread(move |kernel| v.open(kernel, disposition, options));
        assert_eq!(found.err(), Some(expected), "{name}");
    }
}

#[test]
fn size_and_deletion_are_set_and_asked() {
    let (bench, v) = bench();
    bench.kernel.put_file(r"\temp\a", b"12345".to_vec());
    v.name(&bench, r"\??\C:\Temp\a");
    bench.on_thread(move |kernel| {
        let (handle, _) = v.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
        let ask = |set, length, class| {
            kernel.zw_information_file(handle, set, v.block, (v.buffer, length), class)
        };
        assert_eq!(
            ask(false, 23, class::STANDARD)?,
            NtStatus::INFO_LENGTH_MISMATCH
        );
        assert_eq!(ask(false, 24, class::STANDARD)?, NtStatus::SUCCESS);
        let sizes = [0, 8].map(|at| kernel.read(DriverPtr::<u64>::new(v.buffer + at)));
        assert_eq!(sizes, [Ok(4096), Ok(5)]);
        kernel.write(DriverPtr::<u64>::new(v.buffer), 3)?;
        assert_eq!(ask(true, 8, class::END_OF_FILE)?, NtStatus::SUCCESS);
        assert_eq!(v.read(kernel, handle, 9, Some(0))?, Ok(b"123".to_vec()));
        kernel.write(DriverPtr::<u64>::new(v.buffer), 1)?;
        assert_eq!(ask(true, 8, class::POSITION)?, NtStatus::SUCCESS);
        assert_eq!(v.read(kernel, handle, 9, None)?, Ok(b"23".to_vec()));
        kernel.write_bytes(v.buffer, &[1])?;
        assert_eq!(ask(true, 1, class::DISPOSITION)?, NtStatus::SUCCESS);
        kernel.zw_close(handle)?;
        Ok(())
    });
    assert_eq!(bench.kernel.file(r"\temp\a"), None);
}

#[test]
fn a_handle_for_asynchronous_use_needs_an_offset() {
    let (bench, v) = bench();
    v.name(&bench, r"\??\C:\Temp\b");
    bench.on_thread(move |kernel| {
        let (handle, _) = v.open(kernel, FILE_OVERWRITE_IF, 0)?.unwrap();
        let without = v.write(kernel, handle, b"x", None)?;
        assert_eq!(without, NtStatus::INVALID_PARAMETER);
        assert_eq!(v.write(kernel, handle, b"x", Some(2))?, NtStatus::SUCCESS);
        kernel.zw_close(handle)?;
        assert_eq!(
            v.read(kernel, handle, 1, Some(0))?,
            Err(NtStatus::INVALID_HANDLE)
        );
        Ok(())
    });
    assert_eq!(bench.kernel.file(r"\temp\b").unwrap(), [0, 0, b'x']);
}

#[test]
fn an_apc_routine_ends_the_run() {
    let (bench, v) = bench();
    v.name(&bench, r"\??\C:\Temp\c");
    let ended = bench.on_thread(move |kernel| {
        let (handle, _) = v.open(kernel, FILE_CREATE, SYNCHRONOUS)?.unwrap();
        let completion = Completion {
            event: 0,
            apc_routine: 1,
            status_block: v.block,
        };
        let status = kernel.zw_transfer_file(
            handle,
            major::IRP_MJ_WRITE,
            completion,
            v.buffer,
            1,
            DriverPtr::NULL,
        );
        Ok(status.is_err())
    });
    assert!(ended);
    assert_eq!(bench.rules(), [ids::UNIMPLEMENTED_IMPORT]);
}

fn completion(variables: Variables) -> Completion {
    Completion {
        event: 0,
        apc_routine: 0,
        status_block: variables.block,
    }
}

#[test]
fn a_directory_of_the_drive_is_listed() {
    let (bench, variables) = bench();
    bench
        .kernel
        .put_file(r"\windows\temp\one.txt", b"abc".to_vec());
    bench
        .kernel
        .put_file(r"\windows\temp\two\three.txt", Vec::new());
    variables.name(&bench, r"\SystemRoot\Temp");
    bench.on_thread(move |kernel| {
        let (handle, _) = variables.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
        let list = |restart| {
            let request = super::DirectoryRequest {
                buffer: (variables.buffer, 256),
                class: 12,
                single: false,
                name: DriverPtr::NULL,
                restart,
            };
            kernel.zw_query_directory_file(handle, completion(variables), request)
        };
        assert_eq!(list(false), Ok(NtStatus::SUCCESS));
        let told = kernel.read(variables.block)?.information as usize;
        let bytes = kernel.read_bytes(variables.buffer, told)?;
        let text: Vec<u8> = bytes.into_iter().filter(u8::is_ascii_graphic).collect();
        let found = |name: &[u8]| text.windows(name.len()).any(|part| part == name);
        assert!(found(b"one.txt") && found(b"two") && !found(b"three"));
        assert_eq!(list(false), Ok(NtStatus::NO_MORE_FILES));
        assert_eq!(list(true), Ok(NtStatus::SUCCESS));
        kernel.zw_close(handle)?;
        Ok(())
    });
}

#[test]
fn a_file_that_is_only_named_is_described_and_deleted() {
    let (bench, variables) = bench();
    bench.kernel.put_file(r"\temp\f", b"abc".to_vec());
    variables.name(&bench, r"\??\C:\temp\f");
    bench.on_thread(move |kernel| {
        let result = DriverPtr::new(variables.buffer);
        let ask = || kernel.zw_query_full_attributes_file(variables.attributes, result);
        assert_eq!(ask(), Ok(NtStatus::SUCCESS));
        let words = kernel.read(DriverPtr::<[u64; 7]>::new(variables.buffer))?;
        assert_eq!(words[4..], [4096, 3, 0x80]);
        assert_eq!(
            kernel.zw_delete_file(variables.attributes),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(ask(), Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
        let again = kernel.zw_delete_file(variables.attributes);
        assert_eq!(again, Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
        Ok(())
    });
    assert!(bench.kernel.file(r"\temp\f").is_none());
}

#[test]
fn the_drive_is_described_and_has_no_control_codes() {
    let (bench, variables) = bench();
    bench.kernel.put_file(r"\temp\f", Vec::new());
    variables.name(&bench, r"\??\C:\temp\f");
    bench.on_thread(move |kernel| {
        let (handle, _) = variables.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
        let ask = |class, length| {
            let buffer = (variables.buffer, length);
            kernel.zw_query_volume_information_file(handle, variables.block, buffer, class)
        };
        assert_eq!(ask(4, 7), Ok(NtStatus::INFO_LENGTH_MISMATCH));
        assert_eq!(ask(4, 8), Ok(NtStatus::SUCCESS));
        // FILE_DEVICE_DISK_FILE_SYSTEM
        assert_eq!(kernel.read(DriverPtr::<u32>::new(variables.buffer)), Ok(8));
        assert_eq!(ask(3, 24), Ok(NtStatus::SUCCESS));
        assert_eq!(ask(99, 24), Ok(NtStatus::INVALID_INFO_CLASS));
        let control = kernel.zw_control_file(
            handle,
            major::IRP_MJ_FILE_SYSTEM_CONTROL,
            completion(variables),
            0x9_0028,
            (0, 0),
            (0, 0),
        );
        assert_eq!(control, Ok(NtStatus::INVALID_DEVICE_REQUEST));
        let cancel = kernel.zw_cancel_io_file(handle, variables.block);
        assert_eq!(cancel, Ok(NtStatus::SUCCESS));
        kernel.zw_close(handle)?;
        Ok(())
    });
}

#[test]
fn a_section_of_a_file_shows_it_and_puts_back_what_was_written() {
    let (bench, variables) = bench();
    bench.kernel.put_file(r"\temp\f", b"abcdef".to_vec());
    bench.kernel.put_file(r"\temp\empty", Vec::new());
    let section = DriverPtr::<u64>::new(bench.variable(8));
    let view = crate::mm::ViewArguments {
        base: DriverPtr::new(bench.variable(8)),
        offset: DriverPtr::NULL,
        size: DriverPtr::new(bench.variable(8)),
        inherit: 1,
        protect: 4,
    };
    variables.name(&bench, r"\??\C:\temp\empty");
    let create = move |kernel: &Kernel, size, protect, file| {
        let null = DriverPtr::NULL;
        kernel.zw_create_section(section, 6, null, size, protect, 0x0800_0000, file)
    };
    bench.on_thread(move |kernel| {
        let (empty, _) = variables.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
        let none = create(kernel, DriverPtr::NULL, 2, empty);
        assert_eq!(none.unwrap().bits(), 0xC000_011E);
        assert_eq!(
            create(kernel, DriverPtr::NULL, 2, 0x77),
            Ok(NtStatus::INVALID_HANDLE)
        );
        kernel.zw_close(empty)?;
        Ok(())
    });
    variables.name(&bench, r"\??\C:\temp\f");
    bench.on_thread(move |kernel| {
        let (file, _) = variables.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
        kernel.write(variables.offset, 7)?;
        let size = DriverPtr::<u64>::new(variables.offset.address());
        assert_eq!(create(kernel, size, 2, file), Ok(NtStatus::SECTION_TOO_BIG));
        assert_eq!(
            create(kernel, DriverPtr::NULL, 4, file),
            Ok(NtStatus::SUCCESS)
        );
        kernel.zw_close(file)?;
        let handle = kernel.read(section)?;
        let mapped = kernel.zw_map_view_of_section(handle, u64::MAX, view);
        assert_eq!(mapped, Ok(NtStatus::SUCCESS));
        let address = kernel.read(view.base)?;
        assert_eq!(kernel.read_bytes(address, 8)?, b"abcdef\0\0");
        kernel.write_bytes(address + 1, b"X")?;
        kernel.zw_close(handle)?;
        kernel.zw_unmap_view_of_section(u64::MAX, address)?;
        Ok(())
    });
    assert_eq!(bench.kernel.file(r"\temp\f").unwrap(), b"aXcdef");
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

#[test]
fn a_file_of_the_drive_has_a_name_that_users_know() {
    let (bench, variables) = bench();
    bench.kernel.put_file(r"\temp\f", Vec::new());
    variables.name(&bench, r"\??\C:\temp\f");
    bench.on_thread(move |kernel| {
        let (handle, _) = variables.open(kernel, FILE_OPEN, SYNCHRONOUS)?.unwrap();
        let file = kernel.ob_of_handle(handle).unwrap();
        let result = DriverPtr::<u64>::new(variables.buffer);
        assert_eq!(
            kernel.io_query_file_dos_device_name(file, result),
            Ok(NtStatus::SUCCESS)
        );
        let memory = kernel.read(result)?;
        assert_eq!(kernel.text_of(DriverPtr::new(memory))?, r"C:\temp\f");
        kernel.pool_free(memory, None)?;
        let device = kernel.device_of_file(file)?;
        let name = DriverPtr::new(variables.buffer);
        let ask = |device| kernel.io_volume_device_to_dos_name(device, name);
        assert_eq!(ask(device), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.text_of(name)?, "C:");
        kernel.pool_free(kernel.read(name)?.buffer, None)?;
        assert_eq!(ask(file), Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
        let other = kernel.io_query_file_dos_device_name(device, result);
        assert_eq!(other, Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
        kernel.zw_close(handle)?;
        Ok(())
    });
}
