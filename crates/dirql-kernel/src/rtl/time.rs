//! Dates.
//!
//! Source: WDK reference, wdm.RtlTimeToTimeFields, wdm.RtlTimeFieldsToTime,
//! ntifs.RtlTimeToSecondsSince1970 and their relatives; TIME_FIELDS.

use crate::{Ddi, DriverPtr, Kernel};

/// 100 ns units in a second and a day.
const SECOND: i64 = 10_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Seconds from 1601 to 1970 and to 1980.
const TO_1970: i64 = 11_644_473_600;
const TO_1980: i64 = 11_960_006_400;

/// Days from 0000-03-01, where leap days end years, to 1601-01-01.
const TO_1601: i64 = 584_694;

/// `TIME_FIELDS`: year, month, day, hour, minute, second, milliseconds, weekday.
type TimeFields = [i16; 8];

/// Year, month and day of a day counted from 1601-01-01, by the rules of the Gregorian
/// calendar on eras of 400 years that begin in March.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + TO_1601;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + 400 * era + i64::from(month <= 2), month, of_month)
}

/// The reverse of [`date`].
fn day(year: i64, month: i64, of_month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + of_month - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - TO_1601
}

/// The time that fields say, if they are a date and a time of day.
fn time(fields: TimeFields) -> Option<i64> {
    let [year, month, of_month, hour, minute, second, milliseconds, _] = fields.map(i64::from);
    let in_range = (1601..=30_827).contains(&year)
        && (1..=12).contains(&month)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second)
        && (0..1000).contains(&milliseconds);
    let day = day(year, month, of_month);
    if !in_range || date(day) != (year, month, of_month) {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(day * DAY + seconds * SECOND + milliseconds * (SECOND / 1000))
}

impl Kernel {
    /// `VOID RtlTimeToTimeFields(PLARGE_INTEGER, PTIME_FIELDS)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlTimeToTimeFields.
    pub fn rtl_time_to_time_fields(
        &self,
        time: DriverPtr<i64>,
        fields: DriverPtr<TimeFields>,
    ) -> Ddi<()> {
        let time = self.read(time)?.max(0);
        let (year, month, of_month) = date(time / DAY);
        let of_day = time % DAY / SECOND;
        let milliseconds = time % SECOND / (SECOND / 1000);
        // 1601-01-01 was a Monday.
        let weekday = (time / DAY + 1) % 7;
        let all = [
            year,
            month,
            of_month,
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60,
            milliseconds,
            weekday,
        ];
        self.write(fields, all.map(|field| field as i16))?;
        Ok(())
    }

    /// `BOOLEAN RtlTimeFieldsToTime(PTIME_FIELDS, PLARGE_INTEGER)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: FALSE if the fields are no date and time from 1601 to 30827.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlTimeFieldsToTime.
    pub fn rtl_time_fields_to_time(
        &self,
        fields: DriverPtr<TimeFields>,
        to: DriverPtr<i64>,
    ) -> Ddi<u8> {
        let Some(time) = time(self.read(fields)?) else {
            return Ok(0);
        };
        self.write(to, time)?;
        Ok(1)
    }

    /// `BOOLEAN RtlTimeToSecondsSince1970(PLARGE_INTEGER, PULONG)`, and `…1980`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: FALSE if 32 bits do not hold the seconds.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlTimeToSecondsSince1970.
    pub fn rtl_time_to_seconds_since(
        &self,
        time: DriverPtr<i64>,
        seconds: DriverPtr<u32>,
        year: u16,
    ) -> Ddi<u8> {
        let since = self.read(time)?.div_euclid(SECOND) - base(year);
        let Ok(value) = u32::try_from(since) else {
            return Ok(0);
        };
        self.write(seconds, value)?;
        Ok(1)
    }

    /// `VOID RtlSecondsSince1970ToTime(ULONG, PLARGE_INTEGER)`, and `…1980`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlSecondsSince1970ToTime.
    pub fn rtl_seconds_since_to_time(
        &self,
        seconds: u32,
        time: DriverPtr<i64>,
        year: u16,
    ) -> Ddi<()> {
        self.write(time, (base(year) + i64::from(seconds)) * SECOND)?;
        Ok(())
    }
}

const fn base(year: u16) -> i64 {
    if year == 1980 { TO_1980 } else { TO_1970 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn days_are_counted_by_the_gregorian_calendar() {
        for (number, expected) in [
            (0, (1601, 1, 1)),
            (58, (1601, 2, 28)),
            (59, (1601, 3, 1)),
            (134_774, (1970, 1, 1)),
            (TO_1980 / 86_400, (1980, 1, 1)),
            (145_731, (2000, 1, 1)),
            (145_731 + 59, (2000, 2, 29)),
            (109_205, (1899, 12, 30)),
        ] {
            assert_eq!(date(number), expected);
            assert_eq!(day(expected.0, expected.1, expected.2), number);
        }
        assert_eq!(TO_1970, day(1970, 1, 1) * 86_400);
        assert_eq!(TO_1980, day(1980, 1, 1) * 86_400);
    }

    #[test]
    fn fields_go_both_ways_and_are_checked() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (fields, moment) = (
            DriverPtr::new(bench.variable(16)),
            DriverPtr::new(bench.variable(8)),
        );
        // 2024-02-29 23:59:58.765, a Thursday.
        let leap: TimeFields = [2024, 2, 29, 23, 59, 58, 765, 4];
        kernel.write(fields, leap).unwrap();
        assert_eq!(kernel.rtl_time_fields_to_time(fields, moment), Ok(1));
        kernel.write(fields, [0i16; 8]).unwrap();
        kernel.rtl_time_to_time_fields(moment, fields).unwrap();
        assert_eq!(kernel.read(fields), Ok(leap));
        for (index, value) in [
            (0, 1600),
            (0, 2023),
            (1, 0),
            (1, 13),
            (2, 30),
            (2, 0),
            (3, 24),
            (4, 60),
            (5, 60),
            (6, 1000),
        ] {
            let mut wrong = leap;
            wrong[index] = value;
            assert_eq!(time(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn seconds_since_a_year_fit_in_32_bits_or_fail() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (seconds, moment) = (
            DriverPtr::<u32>::new(bench.variable(4)),
            DriverPtr::new(bench.variable(8)),
        );
        for year in [1970, 1980] {
            kernel
                .rtl_seconds_since_to_time(u32::MAX, moment, year)
                .unwrap();
            assert_eq!(
                kernel.rtl_time_to_seconds_since(moment, seconds, year),
                Ok(1)
            );
            assert_eq!(kernel.read(seconds), Ok(u32::MAX));
            kernel
                .write(moment, kernel.read(moment).unwrap() + SECOND)
                .unwrap();
            assert_eq!(
                kernel.rtl_time_to_seconds_since(moment, seconds, year),
                Ok(0)
            );
            kernel.write(moment, base(year) * SECOND - 1).unwrap();
            assert_eq!(
                kernel.rtl_time_to_seconds_since(moment, seconds, year),
                Ok(0)
            );
        }
    }
}
