//! How a source writes dates and timestamps: ISO 8601, strftime formats, counts since 1970.

use std::fmt::Write;

use arrow::datatypes::TimeUnit;
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDateTime, NaiveTime};

use super::clock::{Clock, ClockZone, HAS_TIME, NOT_DATE};
use super::iso::{self, SECONDS_A_DAY};
use super::number;
use super::value::{BadValue, OUT_OF_RANGE};

const NOT_IN_FORMAT: BadValue = "it does not follow the source's format";
const IN_NO_FORMAT: BadValue = "it follows none of the source's formats";
const NOT_COUNT: BadValue = "it is not a number of units since 1970";
const LEAP_SECOND: BadValue = "it is a leap second, which no column can hold";

const NANOSECONDS_A_SECOND: u32 = 1_000_000_000;

/// The formats that have names; others are strftime formats.
const NAMED: &[(&str, TimeFormat)] = &[
    ("iso", TimeFormat::Iso),
    ("epoch_days", TimeFormat::EpochDays),
    ("epoch_seconds", TimeFormat::Epoch(TimeUnit::Second)),
    (
        "epoch_milliseconds",
        TimeFormat::Epoch(TimeUnit::Millisecond),
    ),
    (
        "epoch_microseconds",
        TimeFormat::Epoch(TimeUnit::Microsecond),
    ),
    ("epoch_nanoseconds", TimeFormat::Epoch(TimeUnit::Nanosecond)),
];

/// The option `offsets`: how a timestamp with a zone offset is read in a column without a time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offsets {
    /// It is a bad value, since the column does not say in which zone its timestamps are.
    #[default]
    Refuse,
    /// It is converted to UTC.
    Convert,
}

/// How a source writes points in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeRules {
    /// The option `timestamp_format` or `timestamp_formats`.
    pub timestamps: TimeFormats,
    /// The option `date_format` or `date_formats`.
    pub dates: TimeFormats,
    /// The option `offsets`.
    pub offsets: Offsets,
}

/// One way to write a point in time.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeFormat {
    /// ISO 8601: a date, optionally with a time after a space or `T`, and optionally with an offset.
    Iso,
    /// A format of chrono's strftime.
    Strftime(Vec<Item<'static>>),
    /// A number of units since 1970-01-01 00:00:00 UTC, optionally with a fraction.
    Epoch(TimeUnit),
    /// A number of days since 1970-01-01.
    EpochDays,
}

impl TimeFormat {
    /// The format that an option's value names.
    ///
    /// # Errors
    /// The fault and a hint, if it is not a format or does not determine a date.
    pub(crate) fn parse(written: &str) -> Result<Self, (String, String)> {
        let named = NAMED
            .iter()
            .find(|(name, _)| written.eq_ignore_ascii_case(name));
        if let Some((_, format)) = named {
            return Ok(format.clone());
        }
        let refused = |message: &str| {
            let names: Vec<_> = NAMED.iter().map(|(name, _)| format!("'{name}'")).collect();
            let hint = format!(
                "write a strftime format such as '%d.%m.%Y %H:%M:%S', or one of {}",
                names.join(", ")
            );
            (format!("cannot be '{written}'{message}"), hint)
        };
        let items = StrftimeItems::new(written)
            .parse_to_owned()
            .map_err(|_| refused(": it is no strftime format"))?;
        if says_the_day(&items) {
            Ok(Self::Strftime(items))
        } else {
            Err(refused(": it does not say year, month and day"))
        }
    }

    /// The date and time in `text`.
    fn clock(&self, text: &[u8]) -> Result<Clock, BadValue> {
        match self {
            Self::Iso => iso::clock(text),
            Self::Strftime(items) => formatted(text, items),
            Self::Epoch(unit) => since_epoch(text, *unit),
            Self::EpochDays => {
                let days = i64::try_from(number::integer(text).map_err(|_| NOT_COUNT)?);
                let seconds = days.ok().and_then(|days| days.checked_mul(SECONDS_A_DAY));
                Ok(Clock {
                    seconds: seconds.ok_or(OUT_OF_RANGE)?,
                    nanoseconds: 0,
                    zone: ClockZone::Unknown,
                })
            }
        }
    }

    /// Days since 1970. Only a strftime format, which the job's author chose, may drop a time of day.
    fn days(&self, text: &[u8]) -> Result<i32, BadValue> {
        let seconds = if let Self::Strftime(items) = self {
            let date = parsed(text, items)?.to_naive_date();
            let date = date.map_err(|_| NOT_IN_FORMAT)?;
            date.and_time(NaiveTime::MIN).and_utc().timestamp()
        } else {
            let clock = self.clock(text).map_err(|why| match self {
                Self::Iso => NOT_DATE,
                _ => why,
            })?;
            let is_day = clock.seconds % SECONDS_A_DAY == 0 && clock.nanoseconds == 0;
            if !is_day || matches!(clock.zone, ClockZone::Ahead(_)) {
                return Err(HAS_TIME);
            }
            clock.seconds
        };
        i32::try_from(seconds.div_euclid(SECONDS_A_DAY)).map_err(|_| OUT_OF_RANGE)
    }
}

/// The formats in which a source writes points in time. The first format that fits a text is used.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeFormats(Vec<TimeFormat>);

impl Default for TimeFormats {
    fn default() -> Self {
        Self(vec![TimeFormat::Iso])
    }
}

impl From<Vec<TimeFormat>> for TimeFormats {
    fn from(formats: Vec<TimeFormat>) -> Self {
        Self(formats)
    }
}

impl TimeFormats {
    /// Whether ISO 8601 is tried before all others.
    pub(super) fn begin_with_iso(&self) -> bool {
        self.0.first() == Some(&TimeFormat::Iso)
    }

    pub(super) fn clock(&self, text: &[u8]) -> Result<Clock, BadValue> {
        self.first_of(text, TimeFormat::clock)
    }

    pub(super) fn days(&self, text: &[u8]) -> Result<i32, BadValue> {
        self.first_of(text, TimeFormat::days)
    }

    fn first_of<T>(
        &self,
        text: &[u8],
        read: impl Fn(&TimeFormat, &[u8]) -> Result<T, BadValue>,
    ) -> Result<T, BadValue> {
        let text = text.trim_ascii();
        if let [only] = self.0.as_slice() {
            return read(only, text);
        }
        let mut formats = self.0.iter();
        formats
            .find_map(|format| read(format, text).ok())
            .ok_or(IN_NO_FORMAT)
    }
}

/// Whether the format determines the day, checked by writing and reading a sample.
fn says_the_day(items: &[Item<'static>]) -> bool {
    let Some(sample) = DateTime::from_timestamp(1_735_685_937, 0) else {
        return false;
    };
    let sample = sample.fixed_offset();
    let mut text = String::new();
    write!(text, "{}", sample.format_with_items(items.iter())).is_ok()
        && formatted(text.as_bytes(), items)
            .is_ok_and(|clock| clock.seconds / SECONDS_A_DAY == sample.timestamp() / SECONDS_A_DAY)
}

fn formatted(text: &[u8], items: &[Item<'static>]) -> Result<Clock, BadValue> {
    let mut parsed = parsed(text, items)?;
    if parsed.second() == Some(60) {
        return Err(LEAP_SECOND);
    }
    let offset = parsed.offset();
    let zone = match (offset, parsed.timestamp()) {
        (Some(offset), _) => ClockZone::Ahead(offset),
        (None, Some(_)) => ClockZone::Utc,
        (None, None) => ClockZone::Unknown,
    };
    let has_hour = parsed.hour_mod_12().is_some() || parsed.hour_div_12().is_some();
    let local: NaiveDateTime =
        if !has_hour && parsed.minute().is_none() && parsed.timestamp().is_none() {
            parsed
                .to_naive_date()
                .map(|date| date.and_time(NaiveTime::MIN))
        } else {
            if has_hour && parsed.minute().is_none() {
                parsed.set_minute(0).map_err(|_| NOT_IN_FORMAT)?;
            }
            parsed.to_naive_datetime_with_offset(offset.unwrap_or(0))
        }
        .map_err(|_| NOT_IN_FORMAT)?;
    let local = local.and_utc();
    Ok(Clock {
        seconds: local.timestamp(),
        nanoseconds: local.timestamp_subsec_nanos(),
        zone,
    })
}

fn parsed(text: &[u8], items: &[Item<'static>]) -> Result<Parsed, BadValue> {
    let text = std::str::from_utf8(text).map_err(|_| NOT_IN_FORMAT)?;
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).map_err(|_| NOT_IN_FORMAT)?;
    Ok(parsed)
}

/// A number of units since 1970, with as many decimal digits as nanoseconds need.
fn since_epoch(text: &[u8], unit: TimeUnit) -> Result<Clock, BadValue> {
    let digits_to_nanoseconds = match unit {
        TimeUnit::Second => 9,
        TimeUnit::Millisecond => 6,
        TimeUnit::Microsecond => 3,
        TimeUnit::Nanosecond => 0,
    };
    let nanoseconds = number::decimal128(text, 38, digits_to_nanoseconds);
    let nanoseconds = nanoseconds.map_err(|why| match why {
        number::NOT_NUMBER => NOT_COUNT,
        why => why,
    })?;
    let a_second = i128::from(NANOSECONDS_A_SECOND);
    Ok(Clock {
        seconds: i64::try_from(nanoseconds.div_euclid(a_second)).map_err(|_| OUT_OF_RANGE)?,
        nanoseconds: u32::try_from(nanoseconds.rem_euclid(a_second)).map_err(|_| OUT_OF_RANGE)?,
        zone: ClockZone::Utc,
    })
}
