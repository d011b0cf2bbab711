//! What each statement of many rows reads for 512 and for 5,000 of them, on plans that were made while the tables held
//! nothing, little, or what was deleted since.

use super::*;

const SIZES: [usize; 2] = [512, 5_000];
/// Rows that all steps of a plan may pass on or throw away together, for each that is asked about.
const READ_FOR_EACH: u64 = 50;

/// Statements, and their arguments: a letter is an array with an element for each row, anything else is itself.
const MANY: &[(&str, &str)] = &[
    (
        "challenges/login.sql",
        "1|T|K|F|F|F|L|L|S|M|600000000|60000000|5|17280000000|1::smallint|U|ARRAY[U]|ARRAY[0::smallint]|ARRAY[20000000::bigint]|ARRAY[''::bytea]|L",
    ),
    ("challenges/verify.sql", "1|T|K|F|F|L|L|F|N|I|1000|1000|20|D|L|S|X|X|N"),
    ("challenges/sweep.sql", "U|U|#|1"),
    ("sessions/refresh.sql", "1|T|K|J|J|1000|1000|D"),
    ("sessions/logout.sql", "T|K"),
    ("sessions/find.sql", "T|K"),
    ("sessions/sweep.sql", "U|U|#|1"),
    ("outbox/resolve.sql", "1|I|T|K|K|B|X"),
    ("outbox/claim.sql", "1|U|20000000|1::smallint|17|P|#"),
    ("outbox/settle.sql", "1|U|K|Y|L|N|L|J|Y|Y"),
    (OF_EARLIER_DAYS, "T|K"),
];
/// It reads all that there is: the test sees it.
const OF_EARLIER_DAYS: &str = "turned";

/// An argument as SQL, for these rows.
fn argument(letter: &str, keys: &[String]) -> String {
    let n = keys.len();
    let all = |value: &str| format!("array_fill({value}, ARRAY[{n}])");
    let numbers = |first: usize| {
        let all: Vec<_> = (first..first + n).map(|number| number.to_string()).collect();
        format!("'{{{}}}'::int[]", all.join(","))
    };
    let list = |keys: &[String]| format!("'{{{}}}'::uuid[]", keys.join(","));
    match letter {
        "T" => all("'00000000-0000-0000-0000-0000000000bb'::uuid"),
        "K" => list(keys),
        "F" => list(&keys.iter().map(|_| uuid::Uuid::new_v4().to_string()).collect::<Vec<_>>()),
        // numbers from 0, and those of the first part of a flush's mail
        "I" => numbers(0),
        "M" => numbers(1 << 16),
        "L" => all("0::bigint"),
        "J" => all("0::int"),
        "S" => all("0::smallint"),
        "B" => all("false"),
        "D" => all("now() + interval '1 hour'"),
        "N" => all("NULL::uuid"),
        "X" => all("NULL::text"),
        "Y" => all("NULL::bytea"),
        "U" => "'00000000-0000-0000-0000-000000000000'::uuid".to_owned(),
        "ARRAY[U]" => "ARRAY['00000000-0000-0000-0000-0000000000cc'::uuid]".to_owned(),
        "#" => n.to_string(),
        // of each lane its part
        "P" => (n / 17 + 1).to_string(),
        other => other.to_owned(),
    }
}

impl Bench {
    /// Rows that a prepared statement reads, in a transaction that is undone.
    async fn reads(&self, client: &Client, name: &str, keys: &[String]) -> u64 {
        let (_, arguments) = MANY.iter().find(|(statement, _)| *statement == name).unwrap();
        let arguments: Vec<_> = arguments.split('|').map(|letter| argument(letter, keys)).collect();
        let script = format!(
            "BEGIN; EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE \"{name}\" ({}); ROLLBACK",
            arguments.join(", ")
        );
        let answers = client.simple_query(&script).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let json = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan = serde_json::from_str::<Value>(json.unwrap()).unwrap()[0]["Plan"].clone();
        let mut read = 0.0;
        self.walk(&plan, 0, &mut |node, _| {
            let rows = |key: &str| node[key].as_f64().unwrap_or(0.0);
            let each = rows("Actual Rows")
                + rows("Rows Removed by Filter")
                + rows("Rows Removed by Join Filter")
                + rows("Rows Removed by Index Recheck");
            read += each * rows("Actual Loops");
        });
        read as u64
    }
}

/// On a plan of another day each statement reads as much for a row of 5,000 as for one of 512, and little. Part of the test
/// of plans, whose databases it fills further.
pub(super) async fn no_statement_reads_more_than_it_was_asked_about(bench: &Bench) {
    let mut statements = statements();
    statements.push((OF_EARLIER_DAYS.to_owned(), TURNED[0].to_owned()));
    let mut worst = 0;
    for (state, client) in &bench.clients {
        for (name, _) in MANY {
            let (_, text) = statements.iter().find(|(statement, _)| statement == name).unwrap();
            let arguments = (1..).take_while(|n| text.contains(&format!("${n}"))).count();
            let nulls = vec!["NULL"; arguments].join(", ");
            let script = format!("PREPARE \"{name}\" AS {text}; EXPLAIN EXECUTE \"{name}\" ({nulls})");
            client.batch_execute(&script).await.unwrap();
        }
        Step::Fill(20_000).take(client).await;
        for size in SIZES {
            let keys = format!("SELECT address_key::text FROM challenges ORDER BY random() LIMIT {size}");
            let keys: Vec<String> =
                client.query(&keys, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
            assert_eq!(keys.len(), size);
            for (name, _) in MANY {
                if *name == OF_EARLIER_DAYS && size != SIZES[0] {
                    // it would take minutes
                    continue;
                }
                let read = bench.reads(client, name, &keys).await;
                println!("{name}, {state}: {:.1} rows for each of {size}", read as f64 / size as f64);
                let most = READ_FOR_EACH * size as u64;
                if *name == OF_EARLIER_DAYS {
                    worst = worst.max(read / most);
                } else {
                    assert!(read <= most, "{name}, {state}: {read} rows for {size}");
                }
            }
        }
    }
    assert!(worst > 1, "the statement of earlier days was not seen");
}
