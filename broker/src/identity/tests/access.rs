//! The rules as a table: who may do what.

use jackfield_rsocket::metadata::ServicePattern;

use super::*;

fn patterns(names: &[&str]) -> Vec<ServicePattern> {
    names
        .iter()
        .map(|&name| ServicePattern::new(name))
        .collect()
}

fn rule(effect: Effect, rights: &[Right], services: &[&str]) -> Rule {
    Rule {
        effect,
        rights: rights.to_vec(),
        services: patterns(services),
        methods: Vec::new(),
        subjects: Vec::new(),
        roles: Vec::new(),
        authorities: Vec::new(),
    }
}

/// Rules as an operator would write them.
fn rules() -> Vec<Rule> {
    let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let all = Right::ALL;
    vec![
        Rule {
            roles: texts(&["admin"]),
            ..rule(Effect::Allow, &all, &["com.admin.*"])
        },
        Rule {
            methods: patterns(&["find*", "get*"]),
            roles: texts(&["reader", "admin"]),
            ..rule(Effect::Allow, &[Right::Call], &["com.stock.*"])
        },
        Rule {
            methods: patterns(&["delete*"]),
            ..rule(Effect::Deny, &[Right::Call], &["com.stock.*"])
        },
        Rule {
            authorities: texts(&["publish:stock"]),
            ..rule(Effect::Allow, &[Right::Publish], &["com.stock.*"])
        },
        Rule {
            subjects: patterns(&["mallory"]),
            ..rule(Effect::Deny, &all, &[])
        },
    ]
}

fn somebody(kind: Kind, subject: &str, roles: &[&str], authorities: &[&str]) -> Principal {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    Principal {
        roles: names(roles),
        authorities: names(authorities),
        ..Principal::new(kind, subject)
    }
}

/// Who by what, with authentication required and without: any change of a decision shows as a change
/// of the golden file.
#[test]
fn the_table_of_who_may_do_what_is_the_golden_one() {
    let who = [
        ("anonymous", Principal::anonymous()),
        ("app", somebody(Kind::Token, "app", &[], &[])),
        ("reader", somebody(Kind::Token, "app", &["reader"], &[])),
        ("admin", somebody(Kind::User, "app", &["admin"], &[])),
        (
            "stock",
            somebody(Kind::Certificate, "app", &[], &["publish:stock"]),
        ),
        (
            "mallory",
            somebody(
                Kind::Token,
                "mallory",
                &["admin", "reader"],
                &["publish:stock"],
            ),
        ),
        ("broker", Principal::broker()),
    ];
    let what = [
        (Right::Call, "com.admin.Users", "add"),
        (Right::Publish, "com.admin.Users", ""),
        (Right::Observe, "com.admin.Users", ""),
        (Right::Call, "com.stock.Items", "findAll"),
        (Right::Call, "com.stock.Items", "add"),
        (Right::Call, "com.stock.Items", "deleteAll"),
        (Right::Call, "com.stock.Items", ""),
        (Right::Publish, "com.stock.Items", ""),
        (Right::Observe, "com.stock.Items", ""),
        (Right::Call, "com.free.Any", "any"),
        (Right::Publish, "com.free.Any", ""),
        (Right::Observe, "com.free.Any", ""),
    ];
    let mut table = String::new();
    for kin_only in [false, true] {
        let policy = Policy {
            rules: rules(),
            kin_only,
        };
        table += &format!("\nauth.required = {kin_only}\n{:<34}", "");
        for (name, _) in &who {
            table += &format!(" {name:<9}");
        }
        table.truncate(table.trim_end_matches(' ').len());
        table += "\n";
        for (right, service, method) in what {
            table += &format!("{:<34}", format!("{} {service} {method}", right.as_str()));
            for (_, principal) in &who {
                let judged = match policy.judge(principal, right, service, method) {
                    Judgement::Allowed => "yes",
                    Judgement::Refused => "no",
                    Judgement::AmongKin => "kin",
                };
                table += &format!(" {judged:<9}");
            }
            table.truncate(table.trim_end().len());
            table += "\n";
        }
    }
    assert_eq!(table, include_str!("access.golden"), "\n{table}");
}

#[test]
fn the_order_of_rules_does_not_matter() {
    let mut turned = rules();
    turned.reverse();
    let policies = [rules(), turned].map(|rules| Policy {
        rules,
        kin_only: true,
    });
    for roles in [&[][..], &["reader"], &["admin"]] {
        let who = somebody(Kind::Token, "app", roles, &[]);
        for right in Right::ALL {
            for method in ["findAll", "deleteAll", "add"] {
                let judged = policies
                    .each_ref()
                    .map(|policy| policy.judge(&who, right, "com.stock.Items", method));
                assert_eq!(judged[0], judged[1]);
            }
        }
    }
}
