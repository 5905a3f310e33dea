//! The review of a page by the plugin that read it: family by family, each is kept, dropped or changed.

use std::sync::Arc;

use super::{
    Unscraped, Why,
    collectors::failed,
    exposition::{Change, Family, Kind, Limits, Page, Rules, clean},
};
use crate::chain::{self, App, FamilyKind, Treatment};

/// What the plugin makes of a page. What it changed is read once more: two families may have become one, or two
/// series the same.
pub(super) async fn review(
    page: Page,
    plugin: &chain::Collector,
    app: &Arc<App>,
) -> Result<Page, Unscraped> {
    let (mut text, mut changed) = (Vec::new(), false);
    for family in &page.families {
        let treatment = plugin.on_family(app, shown(family)).await;
        match treatment.map_err(|_| failed(plugin))? {
            Treatment::Keep => family.change(&Change::default(), &mut text),
            Treatment::Drop => changed = true,
            Treatment::Relabel { name, help, labels } => {
                changed = true;
                family.change(&Change { name, help, labels }, &mut text);
            }
        }
    }
    if !changed {
        return Ok(page);
    }
    let rules = Rules {
        // It had passed, and a plugin adds a bounded number of labels.
        limits: Limits::ENDLESS,
        timestamps: true,
        open: Some(false),
        ..Rules::default()
    };
    let again = clean(&text, &rules);
    let mut again = again.map_err(|refused| {
        let text = format!("as the plugin {} changed it: {refused}", plugin.name());
        Unscraped::new(Why::Page, text)
    })?;
    // Lines are those that the application wrote.
    again.findings.splice(0..0, page.findings);
    again.findings_left_out += page.findings_left_out;
    Ok(again)
}

fn shown(family: &Family) -> chain::Family {
    let kind = match family.kind {
        Some(Kind::Counter) => FamilyKind::Counter,
        Some(Kind::Gauge) => FamilyKind::Gauge,
        Some(Kind::Histogram) => FamilyKind::Histogram,
        Some(Kind::Summary) => FamilyKind::Summary,
        Some(Kind::Untyped) | None => FamilyKind::Unknown,
    };
    chain::Family {
        name: family.name.clone(),
        kind,
        help: family.help.clone().unwrap_or_default(),
        unit: String::new(),
        samples: u32::try_from(family.series).unwrap_or(u32::MAX),
    }
}
