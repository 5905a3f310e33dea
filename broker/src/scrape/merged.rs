//! One page for all applications, for those who cannot use discovery.

use super::{
    exposition::{Limits, Merged, Rules, clean, clean_shared},
    held::Outcome,
};
use crate::directory::AppView;

/// What our own families on the page are called.
const OURS: &str = "jackfield_app_scrape_";

/// The pages of several applications as one, and what became of each.
pub(super) fn merge<'a>(
    outcomes: impl Iterator<Item = (&'a AppView, Outcome)>,
    limit: usize,
) -> Vec<u8> {
    let mut merged = Merged::default();
    let mut left = limit;
    for (app, outcome) in outcomes {
        let add = [("job", app.name.as_str()), ("instance", app.uuid.as_str())];
        let rules = Rules {
            // What has passed once passes again, with the labels that are added.
            limits: Limits::ENDLESS,
            timestamps: true,
            add: &add,
            ..Rules::default()
        };
        let page = outcome.ok().and_then(|scraped| {
            let mut page = clean_shared(&scraped.page, &rules).ok()?;
            page.families
                .retain(|family| !family.name.starts_with(OURS));
            let size = page.render().len();
            left = left.checked_sub(size)?;
            Some((page, scraped.took))
        });
        let (up, took) = page
            .as_ref()
            .map_or((0, 0.0), |page| (1, page.1.as_secs_f64()));
        let about = format!(
            "# HELP {OURS}up Whether the application gave a page.\n# TYPE {OURS}up gauge\n{OURS}up {up}\n\
             # HELP {OURS}seconds How long it took.\n# TYPE {OURS}seconds gauge\n{OURS}seconds {took}\n"
        );
        for page in [
            clean(about.as_bytes(), &rules).ok(),
            page.map(|page| page.0),
        ] {
            page.into_iter().for_each(|page| merged.add(page));
        }
    }
    merged.finish().render()
}
