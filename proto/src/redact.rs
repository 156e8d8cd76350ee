//! What `Debug` says of messages that carry a resident or a key: their name, nothing else.

use std::fmt;

use crate::v1;

// The messages (and oneofs, `Message.field`) that carry personal data or keys. Code generation reads this list and leaves
// their `Debug` out; here they get one that shows nothing.
macro_rules! personal {
    ($($name:literal => $type:ty),* $(,)?) => {
        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($name, "(withheld)"))
            }
        })*
    };
}

personal! {
    "Dose" => v1::Dose,
    "Openings" => v1::Openings,
    "QueryRecordsRequest" => v1::QueryRecordsRequest,
    "QueryRecordsResponse" => v1::QueryRecordsResponse,
    "Answer" => v1::Answer,
    "Nothing" => v1::Nothing,
    "QueryRecordsBatchItem" => v1::QueryRecordsBatchItem,
    "QueryRecordsBatchItem.outcome" => v1::query_records_batch_item::Outcome,
    "ImportRequest" => v1::ImportRequest,
    "ImportRequest.part" => v1::import_request::Part,
    "InquireMunicipalityRequest" => v1::InquireMunicipalityRequest,
    "InquireMunicipalityResponse" => v1::InquireMunicipalityResponse,
    "PlaceHoldRequest" => v1::PlaceHoldRequest,
    "LiftHoldRequest" => v1::LiftHoldRequest,
    "EntryField" => v1::EntryField,
    "LogEntry" => v1::LogEntry,
    "ListEntriesResponse" => v1::ListEntriesResponse,
    "GetEntryResponse" => v1::GetEntryResponse,
    "ReadHistoryRequest" => v1::ReadHistoryRequest,
    "HistoryEvent" => v1::HistoryEvent,
    "HistoryEvent.step" => v1::history_event::Step,
    "HistoryDose" => v1::HistoryDose,
    "HistoryRow" => v1::HistoryRow,
    "MarkEntryRequest" => v1::MarkEntryRequest,
    "RelatedEntry" => v1::RelatedEntry,
    "ReadEntryStoryResponse" => v1::ReadEntryStoryResponse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_request_shows_no_value() {
        let request = v1::QueryRecordsRequest {
            individual_number: "123456789018".into(),
            ..Default::default()
        };
        let shown = format!("{request:?}");
        assert_eq!(shown, "QueryRecordsRequest(withheld)");
    }
}
