//! Cases of the rules of `jobs/anomalies.sql`, planted among the generated rows.
//!
//! 1. A case is flagged whatever the other rows are. The cards of rules about sequences have rows of such cases only,
//!    each case on a day of its own. Baselines have enough usual payments of their own.
//! 2. A merchant's hour of the day in a quarter has at most one case of a rule about baselines, so that no case hides
//!    another.
//! 3. The rows of a case follow one another on one day, and so do their ids.

use std::ops::Range;

use chrono::{Datelike, NaiveDate};

use super::draw::{DrawStream, Purpose};
use super::rows::usual_steps;
use super::tables::{
    APPROVED, CARD_SUFFIXES, CATEGORIES, DECLINED, EDUCATION, HOURS, MEALS, WON_PER_STEP,
};
use crate::DemoError;

/// Days of a quarter with usual payments at a merchant's hour. A spike among `n` hours is at most the square root of
/// `n - 1` deviations above their mean, so six deviations need 37 hours.
const USUAL_DAYS: usize = 48;

/// Days between two cases of a card.
const DAYS_APART: usize = 5;

/// Hours of the day with cases of baselines: those with few other payments.
const QUIET_HOURS: usize = 6;

/// A planted transaction, on a day that its place in [`Planting`] tells.
pub struct PlantedRow {
    /// Second of the day.
    pub second: usize,
    /// Who pays.
    pub card: CardIndex,
    /// Index of the category.
    pub category: usize,
    /// Index of the merchant in its category.
    pub merchant: usize,
    /// The amount, in steps.
    pub steps: i64,
    /// Index of the status.
    pub status: usize,
    /// Whether it is far from the card's home.
    pub away: bool,
    /// Whether it has the id of the row before.
    pub repeats_id: bool,
    /// What flags it.
    pub flag: Option<Flag>,
}

/// A card by its index.
#[derive(Clone, Copy)]
pub enum CardIndex {
    /// A card of the pool.
    Pool(usize),
    /// A card of a case.
    Case(usize),
}

/// What a rule must flag, and the rule's name.
#[derive(Clone, Copy)]
pub enum Flag {
    /// The row.
    Row(&'static str),
    /// The row, related to the one whose id is this much less.
    Related(&'static str, u64),
    /// The row's merchant and hour.
    Hour(&'static str),
}

/// The planted rows of each day. Empty without `--anomalies`.
#[derive(Default)]
pub struct Planting {
    days: Vec<Vec<PlantedRow>>,
    cases: u32,
}

/// What a planting is made for.
pub struct PlantingPlan<'a> {
    /// The seed of all draws.
    pub seed: u64,
    /// The days of the range.
    pub dates: &'a [NaiveDate],
    /// Rows beside the planted ones.
    pub records: u64,
    /// Cards in the pool.
    pub cards: u32,
    /// Cases of each rule.
    pub cases: u32,
}

impl Planting {
    /// Draws all cases.
    ///
    /// # Errors
    /// When the range of days or the numbers of cards have no room for them.
    pub fn new(plan: &PlantingPlan<'_>) -> Result<Self, DemoError> {
        if (plan.cards + plan.cases) as usize > CARD_SUFFIXES {
            return Err(DemoError::Options(format!(
                "--cards {} and {} cards of planted cases are more than the {CARD_SUFFIXES} masked numbers: give at most \
                 --cards {}, so that a number is one card",
                plan.cards,
                plan.cases,
                CARD_SUFFIXES.saturating_sub(plan.cases as usize),
            )));
        }
        let groups = groups(plan.dates);
        if groups.is_empty() {
            return Err(DemoError::Options(format!(
                "--anomalies needs {USUAL_DAYS} days of one quarter, to plant what is usual there: choose a longer range \
                 with --start and --end"
            )));
        }
        if groups.len() < plan.cases as usize {
            return Err(DemoError::Options(format!(
                "--anomalies {} is more than the {} cases that the days have room for: give fewer, or more quarters",
                plan.cases,
                groups.len()
            )));
        }
        let mut draft = CaseDraft {
            stream: DrawStream::new(plan.seed, Purpose::Planted, 0),
            days: plan.dates.iter().map(|_| Vec::new()).collect(),
            cards: plan.cards as usize,
            records: plan.records,
        };
        for (case, group) in groups.into_iter().take(plan.cases as usize).enumerate() {
            draft.plant_sequences(case);
            draft.plant_baseline(&group);
        }
        Ok(Self {
            days: draft.days,
            cases: plan.cases,
        })
    }

    /// Cases of each rule.
    pub fn cases(&self) -> u32 {
        self.cases
    }

    /// How many rows are planted.
    pub fn rows(&self) -> u64 {
        self.days.iter().map(|rows| rows.len() as u64).sum()
    }

    /// How many rows are planted on a day.
    pub fn rows_on(&self, day: usize) -> u64 {
        self.days.get(day).map_or(0, |rows| rows.len() as u64)
    }

    /// How many ids the planted rows of a day have.
    pub fn ids(&self, day: usize) -> u64 {
        let rows = self.days.get(day).into_iter().flatten();
        rows.filter(|row| !row.repeats_id).count() as u64
    }

    /// The planted rows of a day with their ids, which ascend from `first_id`.
    pub fn rows_of(&self, day: usize, first_id: u64) -> impl Iterator<Item = (u64, &PlantedRow)> {
        let mut next_id = first_id;
        let rows = self.days.get(day).into_iter().flatten();
        rows.map(move |row| {
            next_id += u64::from(!row.repeats_id);
            (next_id - 1, row)
        })
    }
}

/// A merchant's hour of the day in a quarter.
struct BaselineGroup {
    days: Range<usize>,
    hour: usize,
    category: usize,
    merchant: usize,
}

/// All groups that a baseline may be planted in. Outliers of their merchants are less than a spree.
fn groups(dates: &[NaiveDate]) -> Vec<BaselineGroup> {
    let quarter = |date: &NaiveDate| (date.year(), date.month0() / 3);
    let mut quarters = Vec::new();
    let mut start = 0;
    for days in dates.chunk_by(|a, b| quarter(a) == quarter(b)) {
        if days.len() >= USUAL_DAYS {
            quarters.push(start..start + USUAL_DAYS);
        }
        start += days.len();
    }
    let categories = CATEGORIES.iter().enumerate();
    let categories = categories.filter(|(_, category)| category.won_max <= 200_000);
    let merchants: Vec<(usize, usize)> = categories
        .flat_map(|(at, category)| (0..category.merchants.len()).map(move |of| (at, of)))
        .collect();
    let mut groups = Vec::new();
    for hour in 0..QUIET_HOURS {
        for (category, merchant) in &merchants {
            groups.extend(quarters.iter().map(|days| BaselineGroup {
                days: days.clone(),
                hour,
                category: *category,
                merchant: *merchant,
            }));
        }
    }
    groups
}

/// The cases drawn so far.
struct CaseDraft {
    stream: DrawStream,
    days: Vec<Vec<PlantedRow>>,
    cards: usize,
    records: u64,
}

impl CaseDraft {
    /// The cases of one card, one for each rule that looks at single rows or sequences.
    fn plant_sequences(&mut self, case: usize) {
        let first = self.stream.index(self.days.len());
        let kinds = [
            Self::burst,
            Self::spree,
            Self::impossible_travel,
            Self::double_payment,
            Self::duplicate_id,
            Self::large_amount,
            Self::tested_card,
        ];
        for (number, kind) in kinds.into_iter().enumerate() {
            let day = (first + number * DAYS_APART) % self.days.len();
            // Between 08:00 and 20:00, so that an hour later is the same day.
            let second = 28_800 + self.stream.index(43_200);
            let rows = kind(self, case, second);
            self.days[day].extend(rows);
        }
    }

    /// A usual approved payment for a meal, at the card's home.
    fn meal(&mut self, case: usize, second: usize) -> PlantedRow {
        let merchants = CATEGORIES[MEALS].merchants;
        let mut merchant = self.stream.index(merchants.len());
        while merchants[merchant].1 == "배달" {
            merchant = self.stream.index(merchants.len());
        }
        self.payment(CardIndex::Case(case), second, MEALS, merchant)
    }

    /// A usual approved payment at the card's home.
    fn payment(
        &mut self,
        card: CardIndex,
        second: usize,
        category: usize,
        merchant: usize,
    ) -> PlantedRow {
        PlantedRow {
            second,
            card,
            category,
            merchant,
            steps: usual_steps(&CATEGORIES[category], &mut self.stream),
            status: APPROVED,
            away: false,
            repeats_id: false,
            flag: None,
        }
    }

    /// Five payments for meals within 600 seconds, and none within 60 seconds of another.
    fn burst(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let mut rows = self.meals(case, second, 5, 61..151);
        rows[4].flag = Some(Flag::Related("burst", 4));
        rows
    }

    /// Three declined transactions and a payment within 600 seconds.
    fn tested_card(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let mut rows = self.meals(case, second, 4, 61..201);
        rows[..3].iter_mut().for_each(|row| row.status = DECLINED);
        rows[3].flag = Some(Flag::Related("tested_card", 3));
        rows
    }

    /// An amount of this range of won, in steps.
    fn steps(&mut self, won: Range<i64>) -> i64 {
        let steps = (won.end - won.start) / WON_PER_STEP;
        let drawn = self.stream.index(usize::try_from(steps).unwrap_or(0));
        won.start / WON_PER_STEP + i64::try_from(drawn).unwrap_or(0)
    }

    fn meals(
        &mut self,
        case: usize,
        mut second: usize,
        count: usize,
        gaps: Range<usize>,
    ) -> Vec<PlantedRow> {
        let mut rows = Vec::new();
        for _ in 0..count {
            rows.push(self.meal(case, second));
            second += gaps.start + self.stream.index(gaps.len());
        }
        rows
    }

    /// Four amounts within an hour that are not unusual for courses. Three are less than 3,000,000 won, four are more.
    fn spree(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let course = |draft: &mut Self, number: usize| {
            let second = second + number * 900 + draft.stream.index(600);
            let merchant = draft.stream.index(CATEGORIES[EDUCATION].merchants.len());
            let steps = draft.steps(760_000..1_000_000);
            let row = draft.payment(CardIndex::Case(case), second, EDUCATION, merchant);
            PlantedRow { steps, ..row }
        };
        let mut rows: Vec<_> = (0..4).map(|number| course(self, number)).collect();
        rows[3].flag = Some(Flag::Row("spree"));
        rows
    }

    /// Two meals within 15 minutes, in cities that are further apart than that.
    fn impossible_travel(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let mut rows = self.meals(case, second, 2, 300..901);
        rows[1].away = true;
        rows[1].flag = Some(Flag::Related("impossible_travel", 1));
        rows
    }

    fn double_payment(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let first = self.meal(case, second);
        let again = PlantedRow {
            second: second + self.stream.index(61),
            flag: Some(Flag::Related("double_payment", 1)),
            ..first
        };
        vec![first, again]
    }

    fn duplicate_id(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let first = self.meal(case, second);
        let copy = PlantedRow {
            repeats_id: true,
            flag: Some(Flag::Row("duplicate_id")),
            ..first
        };
        vec![first, copy]
    }

    /// A declined transaction, which is no payment for other rules.
    fn large_amount(&mut self, case: usize, second: usize) -> Vec<PlantedRow> {
        let row = self.meal(case, second);
        vec![PlantedRow {
            steps: self.steps(10_000_100..50_000_000),
            status: DECLINED,
            flag: Some(Flag::Row("large_amount")),
            ..row
        }]
    }

    /// Usual payments in a group, and one case of each rule about baselines.
    fn plant_baseline(&mut self, group: &BaselineGroup) {
        for day in group.days.clone() {
            let row = self.in_group(group);
            self.days[day].push(row);
        }
        let category = &CATEGORIES[group.category];
        let outlier = PlantedRow {
            // The mean is at a third of the range, and the deviation is a sixth of it.
            steps: (category.won_min + 6 * (category.won_max - category.won_min)) / WON_PER_STEP,
            flag: Some(Flag::Row("amount_outlier")),
            ..self.in_group(group)
        };
        let day = group.days.start + self.stream.index(group.days.len());
        self.days[day].push(outlier);

        let mut spike: Vec<_> = (0..self.spike_rows(group))
            .map(|_| self.in_group(group))
            .collect();
        spike[0].flag = Some(Flag::Hour("volume_spike"));
        let day = group.days.start + self.stream.index(group.days.len());
        self.days[day].extend(spike);
    }

    /// A usual payment in a group, by a card of the pool.
    fn in_group(&mut self, group: &BaselineGroup) -> PlantedRow {
        let card = CardIndex::Pool(self.stream.index(self.cards));
        let second = group.hour * 3_600 + self.stream.index(3_600);
        self.payment(card, second, group.category, group.merchant)
    }

    /// How many payments are a spike: twelve deviations of what an hour of the group has beside the planted rows.
    fn spike_rows(&self, group: &BaselineGroup) -> u64 {
        let share = |weights: &mut dyn Iterator<Item = u8>, at: usize| {
            let weights: Vec<u128> = weights.map(u128::from).collect();
            (weights[at], weights.iter().sum::<u128>())
        };
        let merchants = CATEGORIES[group.category].merchants.iter();
        let shares = [
            share(&mut CATEGORIES.iter().map(|one| one.weight), group.category),
            share(&mut merchants.map(|merchant| merchant.2), group.merchant),
            share(&mut HOURS.into_iter(), group.hour),
        ];
        let of: u128 = shares.iter().map(|(weight, _)| weight).product();
        let all: u128 = shares.iter().map(|(_, sum)| sum).product();
        let usual = u128::from(self.records) * of / (all * self.days.len() as u128);
        12 + 12 * (u64::try_from(usual).unwrap_or(u64::MAX).isqrt() + 1)
    }
}
