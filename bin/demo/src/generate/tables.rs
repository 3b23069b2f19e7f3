//! The tables of the generated card company: its categories, merchants, regions and habits.
//!
//! All odds are small integers, so that drawing from them is exact and the same on every machine.

/// Won of one amount step: every amount is a multiple of it.
pub const WON_PER_STEP: i64 = 100;

/// The least amount, in steps, that a credit card may pay in instalments.
pub const INSTALMENT_STEPS_MIN: i64 = 50_000 / WON_PER_STEP;

/// The header line of every file.
pub const HEADER: &str = "transaction_id,transaction_date,card_no,card_type,merchant,sub_category,category,amount,\
                          installment_months,approval_status,region\n";

/// A kind of spending.
pub struct Category {
    /// Name as written in the files.
    pub name: &'static str,
    /// Weight among the categories.
    pub weight: u8,
    /// The least amount, in won.
    pub won_min: i64,
    /// The greatest amount, in won.
    pub won_max: i64,
    /// Merchants as (name, sub-category, weight within the category).
    pub merchants: &'static [(&'static str, &'static str, u8)],
}

/// Index of the category of meals.
pub const MEALS: usize = 0;

/// Index of the category of courses.
pub const EDUCATION: usize = 5;

/// The categories with their merchants.
pub const CATEGORIES: [Category; 8] = [
    Category {
        name: "식비",
        weight: 35,
        won_min: 3_000,
        won_max: 120_000,
        merchants: &[
            ("스타벅스", "카페", 14),
            ("이디야커피", "카페", 6),
            ("메가커피", "카페", 8),
            ("투썸플레이스", "카페", 5),
            ("파리바게뜨", "베이커리", 7),
            ("뚜레쥬르", "베이커리", 4),
            ("맥도날드", "패스트푸드", 6),
            ("롯데리아", "패스트푸드", 4),
            ("맘스터치", "패스트푸드", 4),
            ("김밥천국", "분식", 7),
            ("본죽", "한식", 3),
            ("한솥도시락", "한식", 5),
            ("교촌치킨", "치킨", 4),
            ("배달의민족", "배달", 15),
            ("요기요", "배달", 5),
            ("쿠팡이츠", "배달", 9),
        ],
    },
    Category {
        name: "교통",
        weight: 15,
        won_min: 1_400,
        won_max: 90_000,
        merchants: &[
            ("티머니", "대중교통", 40),
            ("카카오택시", "택시", 25),
            ("코레일", "철도", 9),
            ("에스알", "철도", 5),
            ("고속버스", "버스", 6),
            ("GS칼텍스", "주유", 9),
            ("SK에너지", "주유", 8),
            ("쏘카", "렌터카", 3),
        ],
    },
    Category {
        name: "쇼핑",
        weight: 25,
        won_min: 5_000,
        won_max: 500_000,
        merchants: &[
            ("쿠팡", "온라인", 22),
            ("네이버쇼핑", "온라인", 16),
            ("11번가", "온라인", 7),
            ("G마켓", "온라인", 7),
            ("무신사", "패션", 5),
            ("올리브영", "화장품", 6),
            ("다이소", "생활용품", 6),
            ("이마트", "대형마트", 11),
            ("홈플러스", "대형마트", 7),
            ("롯데백화점", "백화점", 5),
            ("신세계백화점", "백화점", 4),
            ("현대백화점", "백화점", 4),
        ],
    },
    Category {
        name: "문화",
        weight: 8,
        won_min: 5_000,
        won_max: 200_000,
        merchants: &[
            ("CGV", "영화", 10),
            ("롯데시네마", "영화", 7),
            ("메가박스", "영화", 5),
            ("교보문고", "서점", 7),
            ("예스24", "서점", 6),
            ("인터파크", "공연", 4),
            ("멜론", "음악", 5),
        ],
    },
    Category {
        name: "의료",
        weight: 5,
        won_min: 5_000,
        won_max: 500_000,
        merchants: &[
            ("서울대병원", "종합병원", 3),
            ("세브란스병원", "종합병원", 3),
            ("연세치과", "치과", 5),
            ("밝은안과", "안과", 4),
            ("온누리약국", "약국", 9),
        ],
    },
    Category {
        name: "교육",
        weight: 5,
        won_min: 30_000,
        won_max: 1_000_000,
        merchants: &[
            ("메가스터디", "온라인강의", 6),
            ("대성마이맥", "온라인강의", 4),
            ("해커스어학원", "어학원", 4),
            ("눈높이", "학습지", 5),
        ],
    },
    Category {
        name: "통신",
        weight: 4,
        won_min: 20_000,
        won_max: 200_000,
        merchants: &[
            ("SK텔레콤", "이동통신", 9),
            ("KT", "이동통신", 7),
            ("LG유플러스", "이동통신", 5),
            ("알뜰모바일", "알뜰폰", 3),
        ],
    },
    Category {
        name: "보험",
        weight: 3,
        won_min: 30_000,
        won_max: 600_000,
        merchants: &[
            ("삼성생명", "생명보험", 6),
            ("한화생명", "생명보험", 4),
            ("현대해상", "손해보험", 5),
            ("메리츠화재", "손해보험", 4),
        ],
    },
];

/// How many of the regions, from the first on, adjoin the capital.
pub const CAPITAL_REGIONS: usize = 3;

/// Index of the capital.
pub const CAPITAL: usize = 0;

/// Index of a region that is far from the capital.
pub const FAR_FROM_CAPITAL: usize = 3;

/// Regions and their weights.
pub const REGIONS: [(&str, u8); 8] = [
    ("서울", 35),
    ("경기", 25),
    ("인천", 10),
    ("부산", 8),
    ("대구", 6),
    ("대전", 5),
    ("광주", 4),
    ("제주", 2),
];

/// Index of the outcome `approved`.
pub const APPROVED: usize = 0;

/// Index of the outcome `declined`.
pub const DECLINED: usize = 1;

/// The outcomes of a transaction, and their odds.
pub const STATUSES: [(&str, u8); 3] = [("approved", 95), ("declined", 3), ("cancelled", 2)];

/// Weight of each hour of the day, highest at lunch and in the evening.
pub const HOURS: [u8; 24] = [
    8, 5, 3, 2, 2, 4, 12, 28, 40, 44, 52, 78, 100, 72, 54, 50, 54, 66, 86, 96, 74, 52, 34, 18,
];

/// Numbers of instalments in months and their weights; 0 is paid at once.
pub const INSTALMENTS: [(&str, u8); 5] = [("0", 60), ("2", 8), ("3", 16), ("6", 9), ("12", 7)];

/// Percentage of credit cards among all cards.
pub const CREDIT_PERCENT: usize = 65;

/// Card type of a credit card.
pub const CREDIT: &str = "신용";

/// Card type of a debit card.
pub const DEBIT: &str = "체크";

/// The least value of the four visible digits of a masked card number.
pub const CARD_SUFFIX_MIN: usize = 1_000;

/// The number of values of the four visible digits.
pub const CARD_SUFFIXES: usize = 9_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_those_of_their_names() {
        assert_eq!(CATEGORIES[MEALS].name, "식비");
        assert_eq!(CATEGORIES[EDUCATION].name, "교육");
        assert_eq!(STATUSES[APPROVED].0, "approved");
        assert_eq!(STATUSES[DECLINED].0, "declined");
        assert_eq!(REGIONS[CAPITAL].0, "서울");
        assert_eq!(REGIONS[FAR_FROM_CAPITAL].0, "부산");
        let adjoining = REGIONS[..CAPITAL_REGIONS].iter().map(|(name, _)| *name);
        assert!(adjoining.eq(["서울", "경기", "인천"]));
    }
}
