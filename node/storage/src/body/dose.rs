//! `dose_revision.body`: 接種記録.

use vrx_domain::{
    Dose, DoseId, DoseNumber, DoseOrigin, DoseStatus, ImportId, MunicipalityCode, PlaceCode,
    VoucherNumber,
};
use zeroize::Zeroizing;

use super::{Malformed, Reader, Writer};

/// A revision of a dose, with what its row says in the clear repeated where nobody can change it.
pub(crate) struct DoseBody {
    pub(crate) import: ImportId,
    pub(crate) status: DoseStatus,
    /// `revision` is the row's.
    pub(crate) dose: Dose,
}

/// revision u32 | import id 16 | status u8 | dose number u32 | date | vaccine code | product | manufacturer | lot | venue
/// | doctor | place u32 | voucher number | registered at? | origin: 0, or 1 and municipality u32 and log index u64
pub(crate) fn encode_dose(
    revision: u32,
    import: ImportId,
    status: DoseStatus,
    dose: &Dose,
) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut out = Writer::new();
    out.u32(revision);
    out.raw(import.as_bytes());
    out.u8(status.code());
    out.u32(dose.number.get());
    out.date(dose.date);
    for text in [
        &dose.vaccine_code,
        &dose.product_name,
        &dose.manufacturer,
        &dose.lot_number,
        &dose.venue,
        &dose.doctor,
    ] {
        out.text(text)?;
    }
    out.u32(dose.place.as_u32());
    out.text(dose.voucher.as_str())?;
    out.option(dose.registered_at.as_deref(), Writer::text)?;
    match &dose.origin {
        DoseOrigin::Own => out.u8(0),
        DoseOrigin::Adopted { from, log_index } => {
            out.u8(1);
            out.u32(from.as_u32());
            out.u64(*log_index);
        }
    }
    Ok(out.finish())
}

pub(crate) fn decode_dose(id: DoseId, bytes: &[u8]) -> Result<DoseBody, Malformed> {
    let mut body = Reader::new(bytes);
    let revision = body.u32()?;
    let import = ImportId::from_bytes(body.array()?);
    let status = DoseStatus::from_code(body.u8()?).ok_or(Malformed)?;
    let dose = Dose {
        id,
        number: DoseNumber::new(body.u32()?).map_err(|_| Malformed)?,
        date: body.date()?,
        vaccine_code: body.text()?.to_owned(),
        product_name: body.text()?.to_owned(),
        manufacturer: body.text()?.to_owned(),
        lot_number: body.text()?.to_owned(),
        venue: body.text()?.to_owned(),
        doctor: body.text()?.to_owned(),
        place: PlaceCode::try_from(body.u32()?).map_err(|_| Malformed)?,
        voucher: VoucherNumber::parse(body.text()?).map_err(|_| Malformed)?,
        registered_at: body.option(|body| body.text().map(str::to_owned))?,
        revision,
        origin: match body.u8()? {
            0 => DoseOrigin::Own,
            1 => DoseOrigin::Adopted {
                from: MunicipalityCode::try_from(body.u32()?).map_err(|_| Malformed)?,
                log_index: body.u64()?,
            },
            _ => return Err(Malformed),
        },
    };
    body.end()?;
    Ok(DoseBody {
        import,
        status,
        dose,
    })
}
