//! Questions about time and processors, and stalling.
//!
//! Looking at a clock takes time ([`Kernel::look_at_clock`]): drivers wait for a time to come in
//! a loop.

use alloc::format;

use dirql_abi::NtStatus;
use dirql_abi::processor::{GroupAffinity, ProcessorNumber};
use dirql_rules::{Context, ids};

use crate::ke::clock::{START_SYSTEM_TIME, TICK};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Counts per second of the performance counter: one per 100 ns of virtual time.
const COUNTER_FREQUENCY: u64 = 10_000_000;

impl Kernel {
    /// `VOID KeStallExecutionProcessor(ULONG MicroSeconds)`: virtual time passes; what becomes
    /// due meanwhile happens. Any IRQL. Source: WDK reference, wdm.KeStallExecutionProcessor.
    pub fn ke_stall_execution_processor(&self, microseconds: u32) -> Ddi<()> {
        self.check_long_interrupt(microseconds)?;
        self.ke.patience.looks();
        self.spend_time();
        self.pass_time(u64::from(microseconds) * 10);
        self.check_dpc_watchdog()?;
        self.yield_point()
    }

    /// Advice about a stall that makes an ISR or a DPC routine longer than it should be.
    fn check_long_interrupt(&self, microseconds: u32) -> Ddi<()> {
        let (what, most) = match self.context() {
            Context::Isr(_) => ("an ISR", 25),
            Context::Dpc => ("a DPC routine", 100),
            _ => return Ok(()),
        };
        if microseconds <= most {
            return Ok(());
        }
        let message = format!("{what} waits {microseconds} microseconds for its device");
        self.find(ids::LONG_INTERRUPT, message, None)
    }

    /// `VOID KeQuerySystemTime(PLARGE_INTEGER)`: 100 ns units since 1601.
    pub fn ke_query_system_time(&self, time: DriverPtr<u64>) -> Ddi<()> {
        self.look_at_clock();
        Ok(self.write(time, START_SYSTEM_TIME + self.time_100ns())?)
    }

    /// `ULONGLONG KeQueryInterruptTime(VOID)`: 100 ns units since the start.
    pub fn ke_query_interrupt_time(&self) -> Ddi<u64> {
        self.look_at_clock();
        Ok(self.time_100ns())
    }

    /// `VOID KeQueryTickCount(PLARGE_INTEGER)`
    pub fn ke_query_tick_count(&self, count: DriverPtr<u64>) -> Ddi<()> {
        self.look_at_clock();
        Ok(self.write(count, self.time_100ns() / TICK)?)
    }

    /// `ULONG KeQueryTimeIncrement(VOID)`: 100 ns units in a tick.
    pub fn ke_query_time_increment(&self) -> Ddi<u32> {
        Ok(TICK as u32)
    }

    /// `LARGE_INTEGER KeQueryPerformanceCounter(PLARGE_INTEGER PerformanceFrequency)`
    pub fn ke_query_performance_counter(&self, frequency: DriverPtr<u64>) -> Ddi<u64> {
        if !frequency.is_null() {
            self.write(frequency, COUNTER_FREQUENCY)?;
        }
        self.look_at_clock();
        Ok(self.time_100ns())
    }

    /// `ULONG KeGetCurrentProcessorNumberEx(PPROCESSOR_NUMBER)`: the system-wide index.
    pub fn ke_get_current_processor_number_ex(
        &self,
        number: DriverPtr<ProcessorNumber>,
    ) -> Ddi<u32> {
        let id = self.processor().id;
        if !number.is_null() {
            self.write(
                number,
                ProcessorNumber {
                    group: id.group(),
                    number: id.number(),
                    reserved: 0,
                },
            )?;
        }
        Ok(u32::from(id.0))
    }

    /// `NTSTATUS KeGetProcessorNumberFromIndex(ULONG, PPROCESSOR_NUMBER)`: group and number of a
    /// system-wide index; STATUS_INVALID_PARAMETER for one that no processor has.
    pub fn ke_get_processor_number_from_index(
        &self,
        index: u32,
        number: DriverPtr<ProcessorNumber>,
    ) -> Ddi<NtStatus> {
        let Some(processor) = self.processors().get(index as usize) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let id = processor.id;
        self.write(
            number,
            ProcessorNumber {
                group: id.group(),
                number: id.number(),
                reserved: 0,
            },
        )?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ULONG KeGetProcessorIndexFromNumber(PPROCESSOR_NUMBER)`: the reverse;
    /// INVALID_PROCESSOR_INDEX (all ones) for a processor that does not exist.
    pub fn ke_get_processor_index_from_number(
        &self,
        number: DriverPtr<ProcessorNumber>,
    ) -> Ddi<u32> {
        const INVALID_PROCESSOR_INDEX: u32 = u32::MAX;
        let number = self.read(number)?;
        let exists = u32::from(number.number) < self.processors_in_group(number.group);
        if !exists || number.reserved != 0 {
            return Ok(INVALID_PROCESSOR_INDEX);
        }
        Ok(u32::from(number.group) * 64 + u32::from(number.number))
    }

    /// `KAFFINITY KeQueryActiveProcessors(VOID)`: those of group 0.
    pub fn ke_query_active_processors(&self) -> Ddi<u64> {
        Ok(self.active_mask(0))
    }

    /// `ULONG KeQueryActiveProcessorCount(PKAFFINITY)`: of group 0; the mask is optional.
    pub fn ke_query_active_processor_count(&self, mask: DriverPtr<u64>) -> Ddi<u32> {
        if !mask.is_null() {
            self.write(mask, self.active_mask(0))?;
        }
        Ok(self.processors_in_group(0))
    }

    /// `ULONG KeQueryActiveProcessorCountEx(USHORT)`: of a group, or of all (0xFFFF).
    pub fn ke_query_active_processor_count_ex(&self, group: u16) -> Ddi<u32> {
        const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;
        Ok(match group {
            ALL_PROCESSOR_GROUPS => self.processors().len() as u32,
            group => self.processors_in_group(group),
        })
    }

    /// `USHORT KeQueryActiveGroupCount(VOID)`
    pub fn ke_query_active_group_count(&self) -> Ddi<u16> {
        Ok(self.processors().len().div_ceil(64) as u16)
    }

    /// `KAFFINITY KeQueryGroupAffinity(USHORT)`: 0 for a group that does not exist.
    pub fn ke_query_group_affinity(&self, group: u16) -> Ddi<u64> {
        Ok(self.active_mask(group))
    }

    /// `VOID KeQueryNodeActiveAffinity(USHORT Node, PGROUP_AFFINITY, PUSHORT Count)`: all
    /// processors are of node 0, which is told by its group 0.
    ///
    /// - IRQL: any.
    /// - Source: WDK reference, wdm.KeQueryNodeActiveAffinity.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ke_query_node_active_affinity(
        &self,
        node: u16,
        affinity: DriverPtr<GroupAffinity>,
        count: DriverPtr<u16>,
    ) -> Ddi<()> {
        let mask = match node {
            0 => self.ke_query_group_affinity(0)?,
            _ => 0,
        };
        if !affinity.is_null() {
            let value = GroupAffinity {
                mask,
                group: 0,
                reserved: [0; 3],
            };
            self.write(affinity, value)?;
        }
        if !count.is_null() {
            self.write(count, mask.count_ones() as u16)?;
        }
        Ok(())
    }

    /// `USHORT KeQueryNodeMaximumProcessorCount(USHORT Node)`
    ///
    /// - IRQL: any.
    /// - Returns: the processors of the node's group that there can be.
    /// - Source: WDK reference, wdm.KeQueryNodeMaximumProcessorCount.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ke_query_node_maximum_processor_count(&self, node: u16) -> Ddi<u16> {
        Ok(match node {
            0 => self.ke_query_group_affinity(0)?.count_ones() as u16,
            _ => 0,
        })
    }

    /// `NTSTATUS IoGetAffinityInterrupt(PKINTERRUPT, PGROUP_AFFINITY)`
    ///
    /// - IRQL: any.
    /// - Returns: STATUS_INVALID_PARAMETER if it is not an interrupt object.
    /// - Source: WDK reference, wdm.IoGetAffinityInterrupt.
    pub fn io_get_affinity_interrupt(
        &self,
        object: u64,
        affinity: DriverPtr<GroupAffinity>,
    ) -> Ddi<NtStatus> {
        let Some(known) = self.ke.interrupts.object(object) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let Some((_, connection)) = self.ke.interrupts.connection_of(object) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let group = known.processor.group();
        let mask = connection
            .objects
            .iter()
            .filter_map(|address| self.ke.interrupts.object(*address))
            .filter(|other| other.vector == known.vector)
            .fold(0, |mask, other| mask | other.processor.mask());
        self.write(
            affinity,
            GroupAffinity {
                mask,
                group,
                reserved: [0; 3],
            },
        )?;
        Ok(NtStatus::SUCCESS)
    }
}
