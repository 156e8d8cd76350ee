//! 開示: what may be shown of the provision log to the person it is about, and why not.

use crate::coded::coded_enum;

coded_enum! {
    /// What an officer says of an entry, in an entry of its own.
    pub enum EntryMark {
        /// 不開示 (番号法第23条第2項): it isn't shown to the person.
        Withhold = 1,
        /// It is shown after all.
        Release = 2,
        /// The concealed counterparty may be named; takes effect when two different officers have said so.
        NameCounterparty = 3,
    }
}

coded_enum! {
    /// 不開示情報: why an entry isn't shown, by the numbers of 個人情報の保護に関する法律第78条第1項.
    pub enum DisclosureReason {
        /// 第1号: 開示請求者の生命、健康、生活又は財産を害するおそれ
        HarmToPerson = 1,
        /// 第2号: 開示請求者以外の個人に関する情報
        OtherIndividual = 2,
        /// 第3号: 法人その他の団体に関する情報
        Corporation = 3,
        /// 第4号: 国の安全
        StateSecurity = 4,
        /// 第5号: 犯罪の予防その他の公共の安全と秩序
        PublicSafety = 5,
        /// 第6号: 審議、検討又は協議に関する情報
        Deliberation = 6,
        /// 第7号: 事務又は事業に関する情報
        ConductOfAffairs = 7,
    }
}
