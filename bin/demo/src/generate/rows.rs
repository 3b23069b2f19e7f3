//! Writes rows: draws a transaction and appends its line to a buffer, without formatting machinery.

use chrono::NaiveDate;

use super::draw::{DrawStream, Purpose, Weighted};
use super::planted::{CardIndex, PlantedRow};
use super::tables::{
    CAPITAL, CAPITAL_REGIONS, CARD_SUFFIX_MIN, CARD_SUFFIXES, CATEGORIES, CREDIT, CREDIT_PERCENT,
    Category, DEBIT, FAR_FROM_CAPITAL, HOURS, INSTALMENT_STEPS_MIN, INSTALMENTS, REGIONS, STATUSES,
    WON_PER_STEP,
};

/// Length of the longest line, which determines the size of a chunk's buffer.
pub const LINE_BYTES_MAX: usize = 160;

/// The number of instalments of a payment at once.
const AT_ONCE: &str = "0";

/// The tables that rows are drawn from, prepared once and shared by all workers.
pub struct Company {
    cards: Vec<PoolCard>,
    /// The cards of planted cases. If there are any, all cards have homes.
    case_cards: Vec<PoolCard>,
    categories: Weighted,
    shops: Vec<Shops>,
    hours: Weighted,
    instalments: Weighted,
    statuses: Weighted,
    regions: Weighted,
    /// `,STATUS,REGION\n`, by status and region.
    endings: Vec<Vec<String>>,
}

/// A card of the pool.
struct PoolCard {
    suffix: [u8; 4],
    credit: bool,
    /// Index of the region of all its rows. Without it, each row draws one.
    home: Option<usize>,
}

/// The merchants of a category.
struct Shops {
    odds: Weighted,
    /// `MERCHANT,SUB_CATEGORY,CATEGORY,` of each.
    texts: Vec<String>,
    category: &'static Category,
}

/// A row apart from its id and day.
struct Drawn<'a> {
    card: &'a PoolCard,
    /// Hour, minute and second.
    time: [usize; 3],
    shop: &'a str,
    steps: i64,
    months: &'static str,
    status: usize,
    region: usize,
}

impl Company {
    /// The company of `seed` with a pool of `cards` cards, and one card for each of `cases` planted cases.
    pub fn new(seed: u64, cards: u32, cases: u32) -> Self {
        let mut pool = card_pool(seed, cards + cases);
        if cases > 0 {
            give_homes(seed, &mut pool);
        }
        let case_cards = pool.split_off(cards as usize);
        Self {
            cards: pool,
            case_cards,
            categories: Weighted::new(CATEGORIES.iter().map(|category| category.weight)),
            shops: CATEGORIES
                .iter()
                .map(|category| Shops {
                    category,
                    odds: Weighted::new(category.merchants.iter().map(|merchant| merchant.2)),
                    texts: category
                        .merchants
                        .iter()
                        .map(|(merchant, sub, _)| format!("{merchant},{sub},{},", category.name))
                        .collect(),
                })
                .collect(),
            hours: Weighted::new(HOURS),
            instalments: Weighted::new(INSTALMENTS.map(|(_, weight)| weight)),
            statuses: Weighted::new(STATUSES.map(|(_, weight)| weight)),
            regions: Weighted::new(REGIONS.map(|(_, weight)| weight)),
            endings: STATUSES
                .iter()
                .map(|(status, _)| {
                    REGIONS
                        .iter()
                        .map(|(region, _)| format!(",{status},{region}\n"))
                        .collect()
                })
                .collect(),
        }
    }

    /// Appends `rows` lines of one day, ids ascending from `first_id`, drawn from `stream`.
    pub fn write_rows(
        &self,
        stream: &mut DrawStream,
        date: NaiveDate,
        first_id: u64,
        rows: u64,
        out: &mut Vec<u8>,
    ) {
        let mut head = Head::new(date);
        for id in first_id..first_id + rows {
            let drawn = self.draw_row(stream);
            self.write_row(&mut head, id, &drawn, out);
        }
    }

    fn draw_row(&self, stream: &mut DrawStream) -> Drawn<'_> {
        let card = &self.cards[stream.index(self.cards.len())];
        let time = [self.hours.draw(stream), stream.index(60), stream.index(60)];
        let shops = &self.shops[self.categories.draw(stream)];
        let shop = &shops.texts[shops.odds.draw(stream)];
        let steps = usual_steps(shops.category, stream);
        let months = if card.credit && steps >= INSTALMENT_STEPS_MIN {
            INSTALMENTS[self.instalments.draw(stream)].0
        } else {
            AT_ONCE
        };
        let status = self.statuses.draw(stream);
        let region = self.regions.draw(stream);
        Drawn {
            card,
            time,
            shop,
            steps,
            months,
            status,
            region: card.home.unwrap_or(region),
        }
    }

    /// Appends planted rows of one day, each with its id.
    pub fn write_planted<'a>(
        &self,
        date: NaiveDate,
        rows: impl Iterator<Item = (u64, &'a PlantedRow)>,
        out: &mut Vec<u8>,
    ) {
        let mut head = Head::new(date);
        for (id, row) in rows {
            let card = self.card(row.card);
            let home = card.home.unwrap_or(CAPITAL);
            let far = if home < CAPITAL_REGIONS {
                FAR_FROM_CAPITAL
            } else {
                CAPITAL
            };
            let drawn = Drawn {
                card,
                time: [row.second / 3_600, row.second / 60 % 60, row.second % 60],
                shop: &self.shops[row.category].texts[row.merchant],
                steps: row.steps,
                months: AT_ONCE,
                status: row.status,
                region: if row.away { far } else { home },
            };
            self.write_row(&mut head, id, &drawn, out);
        }
    }

    /// The masked number of a planted row's card.
    pub fn masked_number(&self, card: CardIndex) -> String {
        let suffix = self.card(card).suffix;
        format!("****-****-****-{}", String::from_utf8_lossy(&suffix))
    }

    fn card(&self, card: CardIndex) -> &PoolCard {
        match card {
            CardIndex::Pool(at) => &self.cards[at],
            CardIndex::Case(at) => &self.case_cards[at],
        }
    }

    /// Appends a line.
    fn write_row(&self, head: &mut Head, id: u64, row: &Drawn<'_>, out: &mut Vec<u8>) {
        head.set_id(id);
        head.set_time(row.time);
        head.set_card(row.card.suffix);
        out.extend_from_slice(&head.0);
        let kind = if row.card.credit { CREDIT } else { DEBIT };
        out.extend_from_slice(kind.as_bytes());
        out.push(b',');
        out.extend_from_slice(row.shop.as_bytes());
        push_amount(row.steps, out);
        out.extend_from_slice(row.months.as_bytes());
        out.extend_from_slice(self.endings[row.status][row.region].as_bytes());
    }
}

/// An amount in steps, normally distributed around a third of the range with a deviation of a sixth. Values below the
/// range are mirrored at its lower end; values above are clamped.
pub fn usual_steps(category: &Category, stream: &mut DrawStream) -> i64 {
    let steps_min = category.won_min / WON_PER_STEP;
    let steps_max = category.won_max / WON_PER_STEP;
    let span = steps_max - steps_min;
    let steps = steps_min + span / 3 + (stream.normal_1024ths() * span).div_euclid(6 * 1024);
    let mirrored = if steps < steps_min {
        2 * steps_min - steps
    } else {
        steps
    };
    mirrored.min(steps_max)
}

/// Draws a home for each card.
fn give_homes(seed: u64, cards: &mut [PoolCard]) {
    let regions = Weighted::new(REGIONS.map(|(_, weight)| weight));
    let mut stream = DrawStream::new(seed, Purpose::Homes, 0);
    for card in cards {
        card.home = Some(regions.draw(&mut stream));
    }
}

/// Cards whose masked numbers run through all values in scattered order, so that a pool of as many cards has all of
/// them.
fn card_pool(seed: u64, cards: u32) -> Vec<PoolCard> {
    /// A prime, so coprime to the number of suffixes. Stepping by it visits each suffix before it repeats one.
    const STRIDE: usize = 7_919;
    let mut stream = DrawStream::new(seed, Purpose::Cards, 0);
    let mut place = stream.index(CARD_SUFFIXES);
    (0..cards)
        .map(|_| {
            place = (place + STRIDE) % CARD_SUFFIXES;
            let mut suffix = [0; 4];
            put_digits((CARD_SUFFIX_MIN + place) as u64, &mut suffix);
            PoolCard {
                suffix,
                credit: stream.index(100) < CREDIT_PERCENT,
                home: None,
            }
        })
        .collect()
}

/// The fixed-width head of a line, `TXN0000000001,2024-03-10 07:23:12,****-****-****-6567,`, filled in place.
struct Head([u8; 54]);

impl Head {
    fn new(date: NaiveDate) -> Self {
        let mut head = *b"TXN0000000000,0000-00-00 00:00:00,****-****-****-0000,";
        // Years are at most 9999 by the plan, so a date has ten characters.
        let text = date.to_string();
        head[14..24].copy_from_slice(&text.as_bytes()[..10]);
        Self(head)
    }

    fn set_id(&mut self, id: u64) {
        put_digits(id, &mut self.0[3..13]);
    }

    fn set_time(&mut self, [hour, minute, second]: [usize; 3]) {
        self.0[25..27].copy_from_slice(&PAIRS[hour]);
        self.0[28..30].copy_from_slice(&PAIRS[minute]);
        self.0[31..33].copy_from_slice(&PAIRS[second]);
    }

    fn set_card(&mut self, suffix: [u8; 4]) {
        self.0[49..53].copy_from_slice(&suffix);
    }
}

/// The two digits of each number below a hundred.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n: u8 = 0;
    while n < 100 {
        pairs[n as usize] = [b'0' + n / 10, b'0' + n % 10];
        n += 1;
    }
    pairs
};

/// Writes `value` right-aligned and zero-padded over `digits`, an even number of bytes.
fn put_digits(mut value: u64, digits: &mut [u8]) {
    for pair in digits.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
}

/// Appends an amount of `steps` times a hundred won, and a comma.
fn push_amount(steps: i64, out: &mut Vec<u8>) {
    let mut digits = *b"0000000000";
    put_digits(steps.unsigned_abs(), &mut digits);
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    out.extend_from_slice(&digits[zeros..]);
    out.extend_from_slice(b"00,");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pool_shows_each_masked_number_before_it_repeats_one() {
        for (cards, distinct) in [(1, 1), (100, 100), (9_000, 9_000), (50_000, 9_000)] {
            let pool = card_pool(42, cards);
            let mut suffixes: Vec<[u8; 4]> = pool.iter().map(|card| card.suffix).collect();
            suffixes.sort_unstable();
            suffixes.dedup();
            assert_eq!(suffixes.len(), distinct, "{cards} cards");
            assert!(
                suffixes
                    .iter()
                    .all(|suffix| (b'1'..=b'9').contains(&suffix[0]))
            );
        }
    }

    #[test]
    fn amounts_are_written_in_full() {
        for (steps, text) in [
            (1, "100,"),
            (14, "1400,"),
            (2_517, "251700,"),
            (10_000, "1000000,"),
        ] {
            let mut out = Vec::new();
            push_amount(steps, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn no_line_is_longer_than_the_bound() {
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap();
        let company = Company::new(1, 1, 0);
        let shop = longest(
            &mut company
                .shops
                .iter()
                .flat_map(|shops| shops.texts.iter().map(String::len)),
        );
        let ending = longest(&mut company.endings.iter().flatten().map(String::len));
        assert!(54 + CREDIT.len() + 1 + shop + "50000000,12".len() + ending <= LINE_BYTES_MAX);
    }
}
