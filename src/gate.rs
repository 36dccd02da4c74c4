//! Gates: expressions over the numbers of a result that make a run fail if true.
//!
//! ```text
//! expression = expression "or" expression | expression "and" expression | "not" expression | "(" expression ")"
//!            | value ("<" | "<=" | ">" | ">=" | "==" | "!=") value
//! value      = number ["%"] | target | "delta(" target ")" | "relative(" target ")"
//!            | "lower(" interval ")" | "upper(" interval ")" | "min_class(" name ")" | "max_class(" name ")"
//!            | "similarity(" name ")"
//! target     = name | "class(" text ")." name
//! interval   = target | "delta(" target ")"
//! ```

mod lexer;

use std::fmt;
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use embq_core::drift::{CLASS_NUMBERS, DRIFT_METRICS};
use embq_core::error::{Error, Result, choices, closest};
use embq_core::evaluation::{GateComparison, GateOutcome};
use embq_core::metrics::{Levels, METRICS, Metric, Scope};
use embq_core::quantity::{Quantity, Subject, Target};
use embq_core::similarity;
use lexer::{Spanned, Token};

/// An expression that makes a run fail when it is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    expression: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Value, Operator, Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Operator {
    /// Longer operators first, so that `<=` is not read as `<`.
    const ALL: [(&'static str, Operator); 6] = [
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];

    fn name(self) -> &'static str {
        Operator::ALL.into_iter().find(|(_, operator)| *operator == self).map_or("", |(name, _)| name)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
            Operator::Greater => left > right,
            Operator::GreaterOrEqual => left >= right,
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Quantity(Quantity),
}

/// The names that an expression can use.
pub struct Vocabulary {
    /// Of the whole input.
    names: Vec<String>,
    /// Of classes.
    by_class: Vec<String>,
    /// Where a user finds them.
    listed: String,
}

impl Vocabulary {
    /// The metrics of `embq score` and `embq compare`.
    pub fn metrics() -> Self {
        Vocabulary { names: names(), by_class: names_by_class(), listed: "embq metrics lists the names".to_owned() }
    }

    /// The numbers of `embq drift`.
    pub fn drift() -> Self {
        let names: Vec<String> = DRIFT_METRICS.iter().map(|metric| metric.id.to_owned()).collect();
        let listed = choices(None, &names);
        Vocabulary { names, by_class: CLASS_NUMBERS.map(str::to_owned).to_vec(), listed }
    }

    fn holds(&self, name: &str) -> bool {
        // A metric at k or at far has a name for each of them.
        self.names.iter().any(|known| known == name)
            || Metric::named(name).is_some_and(|metric| {
                matches!(metric.scope, Scope::AtK | Scope::AtFar)
                    && self.names.iter().any(|known| known.starts_with(&format!("{}@", metric.id)))
            })
    }
}

impl Gate {
    /// Reads an expression over the metrics of `embq score`.
    ///
    /// # Errors
    /// A syntax error or unknown name, with a mark under its position.
    pub fn parse(expression: &str) -> Result<Self> {
        Gate::parse_with(expression, &Vocabulary::metrics())
    }

    /// Reads an expression over other numbers.
    ///
    /// # Errors
    /// As [`Gate::parse`].
    pub fn parse_with(expression: &str, vocabulary: &Vocabulary) -> Result<Self> {
        let mut parser = Parser { expression, tokens: lexer::tokens(expression)?, place: 0, vocabulary };
        let condition = parser.any()?;
        parser.end()?;
        Ok(Gate { expression: expression.trim().to_owned(), condition })
    }

    /// The quantities in the expression, in order.
    pub fn quantities(&self) -> Vec<&Quantity> {
        let mut quantities = Vec::new();
        self.condition.for_each(&mut |left, _, right| {
            quantities.extend([left, right].into_iter().filter_map(|value| match value {
                Value::Quantity(quantity) => Some(quantity),
                Value::Number(_) => None,
            }));
        });
        quantities
    }

    /// Checks the gate for a result. It fails if anything in it is undefined.
    pub fn check(&self, subject: &dyn Subject) -> GateOutcome {
        let mut comparisons = Vec::new();
        let mut values: Vec<String> = Vec::new();
        let mut undefined = false;
        let mut number = |value: &Value| match value {
            Value::Number(number) => (number.to_string(), Some(*number)),
            Value::Quantity(quantity) => {
                let number = subject.number(quantity);
                let line = match number {
                    Some(number) => format!("{quantity} is {number}"),
                    None => format!("{quantity} is undefined{}", unknown_class(quantity, subject)),
                };
                undefined |= number.is_none();
                if !values.contains(&line) {
                    values.push(line);
                }
                (quantity.to_string(), number)
            }
        };
        self.condition.for_each(&mut |left, operator, right| {
            let ((left, left_value), (right, right_value)) = (number(left), number(right));
            comparisons.push(GateComparison {
                left,
                left_value,
                operator: operator.name().to_owned(),
                right,
                right_value,
                holds: left_value.zip(right_value).map(|(left, right)| operator.holds(left, right)),
            });
        });
        let mut outcomes = comparisons.iter().map(|comparison| comparison.holds.unwrap_or(false));
        let holds = self.condition.holds(&mut outcomes);
        GateOutcome {
            expression: self.expression.clone(),
            checkpoint: None,
            failed: undefined || holds,
            detail: values.join(", "),
            comparisons,
        }
    }
}

fn unknown_class(quantity: &Quantity, subject: &dyn Subject) -> String {
    let (Quantity::Metric(target)
    | Quantity::Delta(target)
    | Quantity::Relative(target)
    | Quantity::End { of: target, .. }) = quantity
    else {
        return String::new();
    };
    let classes = subject.classes();
    match &target.class {
        Some(label) if !classes.contains(&label.as_str()) => {
            let close = closest(label, classes).map(|name| format!(", but '{name}'")).unwrap_or_default();
            format!(": there is no class '{label}'{close}")
        }
        _ => String::new(),
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.expression)
    }
}

impl Condition {
    /// Visits every comparison, in the order of the expression.
    fn for_each<'c>(&'c self, visit: &mut dyn FnMut(&'c Value, Operator, &'c Value)) {
        match self {
            Condition::Any(parts) | Condition::All(parts) => parts.iter().for_each(|part| part.for_each(visit)),
            Condition::Not(part) => part.for_each(visit),
            Condition::Compare(left, operator, right) => visit(left, *operator, right),
        }
    }

    /// Whether it is true, given whether each comparison is, in the order of the expression.
    fn holds(&self, comparisons: &mut dyn Iterator<Item = bool>) -> bool {
        match self {
            // No short-circuiting, because every part must consume its comparisons.
            Condition::Any(parts) => parts.iter().fold(false, |any, part| part.holds(comparisons) | any),
            Condition::All(parts) => parts.iter().fold(true, |all, part| part.holds(comparisons) & all),
            Condition::Not(part) => !part.holds(comparisons),
            Condition::Compare(..) => comparisons.next().unwrap_or(false),
        }
    }
}

/// How deeply parentheses and `not` may be nested.
const DEEPEST: usize = 50;

/// The names of functions.
const FUNCTIONS: [&str; 8] = ["delta", "relative", "lower", "upper", "class", "min_class", "max_class", "similarity"];

struct Parser<'e> {
    expression: &'e str,
    tokens: Vec<Spanned<'e>>,
    place: usize,
    vocabulary: &'e Vocabulary,
}

impl<'e> Parser<'e> {
    fn next_is(&self, token: &Token<'_>) -> bool {
        self.tokens.get(self.place).is_some_and(|(next, _)| next == token)
    }

    fn take(&mut self, token: &Token<'_>) -> bool {
        let found = self.next_is(token);
        self.place += usize::from(found);
        found
    }

    /// The position of the next token, or the end of the text.
    fn here(&self) -> Range<usize> {
        let end = self.expression.trim_end().len();
        self.tokens.get(self.place).map_or(end..end, |(_, range)| range.clone())
    }

    /// The next token for a message.
    fn found(&self) -> String {
        match self.expression.get(self.here()) {
            Some("") | None => "the end".to_owned(),
            Some(text) => format!("'{text}'"),
        }
    }

    fn wrong(&self, range: Range<usize>, problem: &str, tip: &str) -> Error {
        wrong(self.expression, range, problem, tip)
    }

    fn expect(&mut self, token: &Token<'_>, what: &str) -> Result<()> {
        if self.take(token) {
            return Ok(());
        }
        let problem = format!("expected {what}, found {}", self.found());
        Err(self.wrong(self.here(), &problem, "write for example 'delta(silhouette) < -0.01 and negative_share > 10%'"))
    }

    fn end(&self) -> Result<()> {
        if self.place == self.tokens.len() {
            return Ok(());
        }
        let problem = format!("expected 'and', 'or' or the end, found {}", self.found());
        Err(self.wrong(self.here(), &problem, "join comparisons with 'and' or 'or'"))
    }

    fn any(&mut self) -> Result<Condition> {
        let mut parts = vec![self.all()?];
        while self.take(&Token::Word("or")) {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Result<Condition> {
        let mut parts = vec![self.not()?];
        while self.take(&Token::Word("and")) {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::All(parts) })
    }

    fn not(&mut self) -> Result<Condition> {
        let opened =
            self.tokens[..self.place].iter().filter(|(token, _)| matches!(token, Token::Open | Token::Word("not")));
        if opened.count() > DEEPEST {
            return Err(self.wrong(self.here(), "the expression is nested too deeply", "split it into several gates"));
        }
        if self.take(&Token::Word("not")) {
            return Ok(Condition::Not(Box::new(self.not()?)));
        }
        if self.take(&Token::Open) {
            let inner = self.any()?;
            self.expect(&Token::Close, "')'")?;
            return Ok(inner);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Condition> {
        let start = self.here().start;
        let left = self.value()?;
        let operator = match self.tokens.get(self.place) {
            Some((Token::Operator(text), _)) => Operator::ALL.into_iter().find(|(name, _)| name == text),
            _ => None,
        };
        let Some((_, operator)) = operator else {
            let end = self.tokens[..self.place].last().map_or(start, |(_, range)| range.end);
            let text = &self.expression[start..end];
            let problem = if self.place == self.tokens.len() {
                format!("'{text}' is not a comparison")
            } else {
                format!("expected a comparison after '{text}', found {}", self.found())
            };
            let range = if self.place == self.tokens.len() { start..end } else { self.here() };
            return Err(self.wrong(range, &problem, "write for example 'silhouette < 0.3'"));
        };
        self.place += 1;
        let right = self.value()?;
        if let (Value::Number(_), Value::Number(_)) = (&left, &right) {
            let end = self.tokens[..self.place].last().map_or(start, |(_, range)| range.end);
            let tip = format!("compare a metric with a number; {}", self.vocabulary.listed);
            return Err(self.wrong(start..end, "the comparison contains no metric", &tip));
        }
        Ok(Condition::Compare(left, operator, right))
    }

    fn value(&mut self) -> Result<Value> {
        if let Some((Token::Number(number), _)) = self.tokens.get(self.place) {
            let number = *number;
            self.place += 1;
            return Ok(Value::Number(if self.take(&Token::Percent) { number / 100.0 } else { number }));
        }
        self.quantity().map(Value::Quantity)
    }

    fn word(&self) -> Option<&'e str> {
        match self.tokens.get(self.place) {
            Some((Token::Word(word), _)) if !matches!(*word, "and" | "or" | "not") => Some(word),
            _ => None,
        }
    }

    fn quantity(&mut self) -> Result<Quantity> {
        let function = self.word().filter(|_| matches!(self.tokens.get(self.place + 1), Some((Token::Open, _))));
        let quantity = match function {
            Some("class") | None => return self.target().map(Quantity::Metric),
            Some(function) => {
                if !FUNCTIONS.contains(&function) {
                    let names = FUNCTIONS.map(str::to_owned);
                    let problem = format!("unknown function '{function}'");
                    return Err(self.wrong(self.here(), &problem, &choices(Some(function), &names)));
                }
                self.place += 2;
                match function {
                    "delta" => Quantity::Delta(self.target()?),
                    "relative" => Quantity::Relative(self.target()?),
                    "min_class" | "max_class" => {
                        Quantity::Extreme { largest: function == "max_class", metric: self.name(true)? }
                    }
                    "similarity" => Quantity::Similarity(self.name_of_similarity()?),
                    _ => self.end_of_interval(function == "upper")?,
                }
            }
        };
        self.expect(&Token::Close, "')'")?;
        Ok(quantity)
    }

    fn end_of_interval(&mut self, upper: bool) -> Result<Quantity> {
        let difference = self.word() == Some("delta");
        if difference {
            self.place += 1;
            self.expect(&Token::Open, "'('")?;
        }
        let of = self.target()?;
        if difference {
            self.expect(&Token::Close, "')'")?;
        }
        Ok(Quantity::End { upper, of, difference })
    }

    fn name_of_similarity(&mut self) -> Result<String> {
        let names = similarity::names();
        match self.word().filter(|word| names.iter().any(|name| name == word)) {
            Some(word) => {
                self.place += 1;
                Ok(word.to_owned())
            }
            None => {
                let problem = format!("expected a measure of similarity, found {}", self.found());
                Err(self.wrong(self.here(), &problem, &choices(self.word(), &names)))
            }
        }
    }

    fn target(&mut self) -> Result<Target> {
        let of_class = self.word() == Some("class");
        if !of_class {
            return Ok(Target { class: None, metric: self.name(false)? });
        }
        self.place += 1;
        self.expect(&Token::Open, "'('")?;
        let Some((Token::Text(class), _)) = self.tokens.get(self.place) else {
            let problem = format!("expected the label of a class in quotes, found {}", self.found());
            return Err(self.wrong(self.here(), &problem, "write for example class(\"cat\").silhouette"));
        };
        let class = Some((*class).to_owned());
        self.place += 1;
        self.expect(&Token::Close, "')'")?;
        self.expect(&Token::Dot, "'.' and a metric")?;
        Ok(Target { class, metric: self.name(true)? })
    }

    /// The name of a metric, of those given by class where `by_class`.
    fn name(&mut self, by_class: bool) -> Result<String> {
        let Some(word) = self.word() else {
            let problem = match self.tokens.get(self.place) {
                None => "a number or a metric is missing".to_owned(),
                Some(_) => format!("expected a number or a metric, found {}", self.found()),
            };
            return Err(self.wrong(self.here(), &problem, &self.vocabulary.listed));
        };
        let Vocabulary { names, by_class: names_by_class, listed } = self.vocabulary;
        let is_known =
            if by_class { names_by_class.iter().any(|name| name == word) } else { self.vocabulary.holds(word) };
        if !is_known {
            let close = closest(word, if by_class { names_by_class } else { names }.iter().map(String::as_str));
            let tip = match close {
                Some(name) => format!("did you mean '{name}'? {listed}"),
                None => listed.clone(),
            };
            let by_class = by_class && names.iter().any(|name| name == word);
            let problem =
                if by_class { format!("'{word}' is not given by class") } else { format!("unknown metric '{word}'") };
            return Err(self.wrong(self.here(), &problem, &tip));
        }
        self.place += 1;
        Ok(Metric::canonical(word))
    }
}

/// The names of the metrics of the whole input.
fn names() -> Vec<String> {
    METRICS.iter().flat_map(|metric| metric.names(Levels::USUAL)).collect()
}

/// The names of what classes have.
fn names_by_class() -> Vec<String> {
    let by_class = METRICS.iter().filter(|metric| metric.scope == Scope::PerClass).map(|metric| metric.id);
    by_class.chain(["count"]).map(str::to_owned).collect()
}

/// The error for a part of an expression, which is marked.
fn wrong(expression: &str, range: Range<usize>, problem: &str, tip: &str) -> Error {
    let before = " ".repeat(expression[..range.start].width());
    let marks = "^".repeat(expression[range].width().max(1));
    Error::setting(format!("--fail-if: {problem}\n    {expression}\n    {before}{marks}"), tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is asked for is 0.25, but for what is undefined.
    struct Quarter;

    impl Subject for Quarter {
        fn number(&self, quantity: &Quantity) -> Option<f64> {
            let undefined = Quantity::Metric(Target { class: None, metric: "ratio".to_owned() });
            (*quantity != undefined).then_some(0.25)
        }

        fn classes(&self) -> Vec<&str> {
            vec!["cat", "dog"]
        }
    }

    fn failed(expression: &str) -> bool {
        Gate::parse(expression).unwrap().check(&Quarter).failed
    }

    #[test]
    fn comparisons_hold_or_not() {
        for (expression, expected) in [
            ("silhouette<0.3", true),
            ("silhouette < 25%", false),
            (" 10 % <= negative_share ", true),
            ("margin_macro != -1e-3", true),
            ("-.5 > margin", false),
            ("silhouette == soft_silhouette", true),
            ("silhouette >= 0.25 and silhouette <= 0.25", true),
            ("tar@1e-3 < 30% and tar@0.001<0.3", true),
            ("silhouette > 1 or mean_a > 1 or mean_b < 1", true),
            ("silhouette > 1 and mean_a > 1 or mean_b < 1", true),
            ("silhouette > 1 and (mean_a > 1 or mean_b < 1)", false),
            ("not silhouette > 1", true),
            ("not (silhouette > 1 or mean_b < 1)", false),
            ("not not mean_b < 1", true),
            ("ratio > 0", true),
            ("not ratio > 0", true),
            ("ratio > 0 and silhouette > 1", true),
            ("delta(silhouette) < -0.01", false),
            ("relative(class(\"cat\").silhouette) < 30%", true),
            ("lower(silhouette) < 0.3 and upper(delta(silhouette)) < 0.3", true),
            ("class('dog').intra_mean < 0.1", false),
            ("min_class(silhouette) < 0.3", true),
            ("max_class(count) < 0.1", false),
            ("similarity(linear_cka) < 0.9 or similarity(neighbour_overlap@5) > 1", true),
        ] {
            assert_eq!(failed(expression), expected, "{expression}");
        }
    }

    #[test]
    fn quantities_are_told_as_they_are_written() {
        let text = "class(\"a \\\"b\\\"\").silhouette < upper(delta(margin)) or min_class(count) < 2";
        let gate = Gate::parse(text).unwrap();
        let told: Vec<String> = gate.quantities().iter().map(|quantity| quantity.to_string()).collect();
        assert_eq!(told, ["class(\"a \\\"b\\\"\").silhouette", "upper(delta(margin))", "min_class(count)"]);
        let outcome = Gate::parse("class('cats').silhouette < 0 or ratio < 2").unwrap().check(&Quarter);
        assert_eq!(outcome.detail, "class(\"cats\").silhouette is 0.25, ratio is undefined");
        assert_eq!(outcome.comparisons[1].holds, None);
    }

    #[test]
    fn mistakes_are_marked() {
        let message = |expression| {
            let error = Gate::parse(expression).unwrap_err();
            (error.to_string(), error.tip().unwrap())
        };
        let (text, tip) = message("  silhuette < 0.3");
        assert!(text.ends_with("\n      silhuette < 0.3\n      ^^^^^^^^^"), "{text}");
        assert!(tip.contains("'silhouette'"), "{tip}");
        let (text, tip) = message("silhouette < 0.3 and dleta(silhouette) < 0");
        assert!(text.ends_with("\n                         ^^^^^"), "{text}");
        assert!(tip.contains("did you mean 'delta'?"), "{tip}");
        for (expression, problem) in [
            ("silhouette", "'silhouette' is not a comparison"),
            ("silhouette < high", "unknown metric 'high'"),
            ("silhouette < nan", "unknown metric 'nan'"),
            ("silhouette < 1e999", "not a finite number"),
            ("1 < 2", "no metric"),
            ("< 2", "expected a number or a metric, found '<'"),
            ("silhouette <", "a number or a metric is missing"),
            ("silhouette = 2", "unexpected '='"),
            ("silhouette < 2 3", "expected 'and', 'or' or the end, found '3'"),
            ("silhouette < 2 and", "a number or a metric is missing"),
            ("(silhouette < 2", "expected ')', found the end"),
            ("delta(silhouette < 2", "expected ')', found '<'"),
            ("silhouette 2", "expected a comparison after 'silhouette', found '2'"),
            ("class(cat).silhouette < 2", "the label of a class in quotes"),
            ("class('cat') < 2", "expected '.' and a metric"),
            ("class('cat').mean_a < 2", "'mean_a' is not given by class"),
            ("class('cat < 2", "the quote is not closed"),
            ("similarity(cka) < 0.9", "expected a measure of similarity, found 'cka'"),
            ("min_class(fisher_ratio) < 2", "'fisher_ratio' is not given by class"),
            ("and < 2", "expected a number or a metric, found 'and'"),
            ("", "a number or a metric is missing"),
            ("silhouette < 2 # 漢", "unexpected '#'"),
        ] {
            let (text, _) = message(expression);
            assert!(text.contains(problem), "{expression}: {text}");
        }
        let deep = format!("{}silhouette < 1{}", "(".repeat(1000), ")".repeat(1000));
        assert!(message(&deep).0.contains("nested too deeply"));
    }
}
