//! The kernel's own routines, for the test platform.

use crate::{Ddi, DriverPtr, Kernel};

type Code = fn(&Kernel, &[u64]) -> Ddi<u64>;

/// The routine behind a `dirql:` name.
pub(crate) fn builtin(name: &str) -> Option<Code> {
    Some(match name {
        "dirql:InvalidDeviceRequest" => |k, a| k.invalid_device_request(a[0], a[1]).map(u64::from),
        "dirql:UnloadSafeCompletion" => {
            |k, a| k.unload_safe_completion(a[0], a[1], a[2]).map(u64::from)
        }
        "dirql:SignalCompletion" => |k, a| k.signal_completion(a[0], a[1], a[2]).map(u64::from),
        "dirql:PowerCompletion" => |k, a| k.power_completion(a[1]).map(u64::from),
        "dirql:CsqCancel" => |k, a| k.csq_cancel(a[0], a[1]).map(|()| 0),
        "dirql:IoTimerDpc" => |k, _| k.io_timer_dpc().map(|()| 0),
        "dirql:BusPnp" => |k, a| k.bus_pnp(a[0], a[1]).map(u64::from),
        "dirql:BusPower" => |k, a| k.bus_power(a[0], a[1]).map(u64::from),
        "dirql:BusSystemControl" => |k, a| k.bus_system_control(a[0], a[1]).map(u64::from),
        "dirql:VolumeRequest" => |k, a| k.volume_request(a[0], a[1]).map(u64::from),
        "dirql:ExTimerDpc" => |k, a| k.ex_timer_dpc(a[1]).map(|()| 0),
        "dirql:BusReference" => |k, a| k.bus_reference(a[0]).map(|()| 0),
        "dirql:BusDereference" => |k, a| k.bus_dereference(a[0]).map(|()| 0),
        "dirql:BusTranslateAddress" => |k, a| {
            k.bus_translate_address(a[1], DriverPtr::new(a[4]))
                .map(u64::from)
        },
        "dirql:BusGetDmaAdapter" => |k, a| {
            k.io_get_dma_adapter(a[0], DriverPtr::new(a[1]), DriverPtr::new(a[2]))
                .map(u64::from)
        },
        "dirql:BusSetTableEntry" => |k, a| {
            k.bus_set_table_entry(a[0], a[1] as u32, a[2] as u32)
                .map(u64::from)
        },
        "dirql:BusMaskTableEntry" => |k, a| {
            k.bus_mask_table_entry(a[0], a[1] as u32, true)
                .map(u64::from)
        },
        "dirql:BusUnmaskTableEntry" => |k, a| {
            k.bus_mask_table_entry(a[0], a[1] as u32, false)
                .map(u64::from)
        },
        "dirql:BusGetTableEntry" => |k, a| {
            k.bus_get_table_entry(
                a[0],
                a[1] as u32,
                DriverPtr::new(a[2]),
                DriverPtr::new(a[3]),
            )
            .map(u64::from)
        },
        "dirql:BusGetTableSize" => |k, a| {
            k.bus_get_table_size(a[0], DriverPtr::new(a[1]))
                .map(u64::from)
        },
        "dirql:BusGetData" => |k, a| {
            k.bus_get_data(a[0], a[1] as u32, a[2], a[3] as u32, a[4] as u32)
                .map(u64::from)
        },
        "dirql:BusSetData" => |k, a| {
            k.bus_set_data(a[0], a[1] as u32, a[2], a[3] as u32, a[4] as u32)
                .map(u64::from)
        },
        // Unit tests call these as methods; only the table's addresses are wanted.
        "dirql:PutDmaAdapter"
        | "dirql:AllocateCommonBuffer"
        | "dirql:FreeCommonBuffer"
        | "dirql:AllocateAdapterChannel"
        | "dirql:FlushAdapterBuffers"
        | "dirql:FreeAdapterChannel"
        | "dirql:FreeMapRegisters"
        | "dirql:MapTransfer"
        | "dirql:GetDmaAlignment"
        | "dirql:ReadDmaCounter"
        | "dirql:GetScatterGatherList"
        | "dirql:PutScatterGatherList"
        | "dirql:CalculateScatterGatherList"
        | "dirql:BuildScatterGatherList"
        | "dirql:BuildMdlFromScatterGatherList"
        | "dirql:GetDmaAdapterInfo"
        | "dirql:GetDmaTransferInfo"
        | "dirql:InitializeDmaTransferContext"
        | "dirql:AllocateCommonBufferEx"
        | "dirql:AllocateAdapterChannelEx"
        | "dirql:CancelAdapterChannel"
        | "dirql:MapTransferEx"
        | "dirql:GetScatterGatherListEx"
        | "dirql:BuildScatterGatherListEx"
        | "dirql:FlushAdapterBuffersEx"
        | "dirql:FreeAdapterObject"
        | "dirql:DmaNotModelled" => |_, _| Ok(0),
        _ => return port_routine(name),
    })
}

/// Those of the parallel port's function driver.
fn port_routine(name: &str) -> Option<Code> {
    if let Some(name) = name.strip_prefix("dirql:Parclass") {
        return class_routine(name);
    }
    Some(match name.strip_prefix("dirql:Parport")? {
        "AddDevice" => |k, a| k.parport_add_device(a[0], a[1]).map(u64::from),
        "Create" => |k, a| k.parport_create(a[0], a[1]).map(u64::from),
        "Close" => |k, a| k.parport_close(a[0], a[1]).map(u64::from),
        "Cleanup" => |k, a| k.parport_cleanup(a[0], a[1]).map(u64::from),
        "DeviceControl" => |k, a| k.parport_device_control(a[0], a[1]).map(u64::from),
        "InternalControl" => |k, a| k.parport_internal_control(a[0], a[1]).map(u64::from),
        "Pnp" => |k, a| k.parport_pnp(a[0], a[1]).map(u64::from),
        "Power" => |k, a| k.parport_power(a[0], a[1]).map(u64::from),
        "SystemControl" => |k, a| k.parport_system_control(a[0], a[1]).map(u64::from),
        "Isr" => |k, a| k.parport_isr(a[0], a[1]).map(u64::from),
        "FreeDpc" => |k, a| k.parport_free_dpc(a[1]).map(|()| 0),
        "Cancel" => |k, a| k.parport_cancel(a[0], a[1]).map(|()| 0),
        "TryAllocate" => |k, a| k.parport_try_allocate(a[0]).map(u64::from),
        "Free" => |k, a| k.parport_free(a[0]).map(|()| 0),
        "QueryWaiters" => |k, a| k.parport_query_waiters(a[0]).map(u64::from),
        "TryAllocateAtInterruptLevel" => |k, a| {
            k.parport_try_allocate_at_interrupt_level(a[0])
                .map(u64::from)
        },
        "FreeFromInterruptLevel" => |k, a| k.parport_free_from_interrupt_level(a[0]).map(|()| 0),
        "TrySetChipMode" => |k, a| k.parport_try_set_chip_mode(a[0], a[1] as u8).map(u64::from),
        "ClearChipMode" => |k, a| k.parport_clear_chip_mode(a[0], a[1] as u8).map(u64::from),
        "TrySelect" => |k, a| k.parport_try_select(a[0], a[1]).map(u64::from),
        "Deselect" => |k, a| k.parport_deselect(a[0], a[1]).map(u64::from),
        _ => return None,
    })
}

/// Those that a client of the port's children gets.
fn class_routine(name: &str) -> Option<Code> {
    Some(match name {
        "DetermineModes" => |k, a| k.parclass_determine_modes(a[0]).map(u64::from),
        "Negotiate" => |k, a| {
            k.parclass_negotiate(a[0], (a[1] as u16, a[2] as u16), a[3] as u32, a[4] as u8)
                .map(u64::from)
        },
        "Terminate" => |k, a| k.parclass_terminate(a[0]).map(u64::from),
        "ForwardToReverse" => |k, a| k.parclass_forward_to_reverse(a[0]).map(u64::from),
        "ReverseToForward" => |k, a| k.parclass_reverse_to_forward(a[0]).map(u64::from),
        "Read" => |k, a| {
            k.parclass_read(
                a[0],
                DriverPtr::new(a[1]),
                a[2] as u32,
                DriverPtr::new(a[3]),
            )
            .map(u64::from)
        },
        "Write" => |k, a| {
            k.parclass_write(
                a[0],
                DriverPtr::new(a[1]),
                a[2] as u32,
                DriverPtr::new(a[3]),
            )
            .map(u64::from)
        },
        "TrySelect" => |k, a| k.parclass_try_select(a[0], a[1]).map(u64::from),
        "Deselect" => |k, a| k.parclass_deselect(a[0], a[1]).map(u64::from),
        _ => return None,
    })
}
