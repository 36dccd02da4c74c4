//! Lists every public item of the crate in `public_items.txt`, so that changes to the public interface are noticed.
//!
//! `EMBQ_UPDATE=1 cargo test -p embq-core --test public_items` rewrites the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Signature, TraitItem, Type, UseTree, Visibility};

/// A module of the source.
struct Module {
    items: Vec<Item>,
    /// Its child modules by name.
    children: BTreeMap<String, Module>,
}

fn parse(file: &Path, folder: &Path) -> Module {
    let source = fs::read_to_string(file).unwrap();
    let items = syn::parse_file(&source).unwrap().items;
    let mut children = BTreeMap::new();
    for item in &items {
        let Item::Mod(module) = item else { continue };
        if module.content.is_some() || is_test(&module.attrs) {
            continue;
        }
        let name = module.ident.to_string();
        let inner = folder.join(&name);
        let flat = folder.join(format!("{name}.rs"));
        let file = if flat.exists() { flat } else { inner.join("mod.rs") };
        children.insert(name, parse(&file, &inner));
    }
    Module { items, children }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg"))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().contains("hidden"))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Tokens with only the spaces that a reader needs.
fn text(tokens: impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" :", ":"),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        (" ;", ";"),
        ("fn(", "fn ("),
        ("->(", "-> ("),
    ] {
        text = text.replace(from, to);
    }
    text.trim_end_matches(',').replace(",)", ")").replace(",>", ">")
}

fn signature(signature: &Signature) -> String {
    text(signature)
}

#[derive(Default)]
struct Listing {
    lines: BTreeSet<String>,
    /// Public types by name, with the path that users write.
    types: BTreeMap<String, String>,
}

impl Listing {
    /// Adds the public items of a module; for a private one, those in `only`, as if they were the parent's.
    fn add(&mut self, module: &Module, path: &str, only: Option<&BTreeSet<String>>) {
        let wanted = |name: &str| only.is_none_or(|only| only.contains(name));
        for item in &module.items {
            match item {
                Item::Mod(child) if only.is_none() && is_public(&child.vis) && !is_hidden(&child.attrs) => {
                    let name = child.ident.to_string();
                    self.lines.insert(format!("{path}::{name}"));
                    self.add(&module.children[&name], &format!("{path}::{name}"), None);
                }
                Item::Use(item) if only.is_none() && is_public(&item.vis) && !is_hidden(&item.attrs) => {
                    self.add_use(module, path, &item.tree, &mut Vec::new());
                }
                Item::Fn(item) if is_public(&item.vis) && wanted(&item.sig.ident.to_string()) => {
                    self.lines.insert(format!("{path}: {}", signature(&item.sig)));
                }
                Item::Const(item) if is_public(&item.vis) && wanted(&item.ident.to_string()) => {
                    self.lines.insert(format!("{path}: const {}: {}", item.ident, text(&item.ty)));
                }
                Item::Type(item) if is_public(&item.vis) && wanted(&item.ident.to_string()) => {
                    self.lines.insert(format!("{path}: type {} = {}", item.ident, text(&item.ty)));
                }
                Item::Struct(item) if is_public(&item.vis) && wanted(&item.ident.to_string()) => {
                    let name = format!("{path}::{}", item.ident);
                    self.lines.insert(format!("{name}: struct{}", text(&item.generics)));
                    self.add_fields(&name, &item.fields, false);
                    self.types.insert(item.ident.to_string(), name);
                }
                Item::Enum(item) if is_public(&item.vis) && wanted(&item.ident.to_string()) => {
                    let name = format!("{path}::{}", item.ident);
                    self.lines.insert(format!("{name}: enum{}", text(&item.generics)));
                    for variant in &item.variants {
                        let variant_name = format!("{name}::{}", variant.ident);
                        self.lines.insert(variant_name.clone());
                        self.add_fields(&variant_name, &variant.fields, true);
                    }
                    self.types.insert(item.ident.to_string(), name);
                }
                Item::Trait(item) if is_public(&item.vis) && wanted(&item.ident.to_string()) => {
                    let name = format!("{path}::{}", item.ident);
                    self.lines.insert(format!("{name}: trait{}", text(&item.generics)));
                    for item in &item.items {
                        if let TraitItem::Fn(method) = item {
                            self.lines.insert(format!("{name}: {}", signature(&method.sig)));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn add_fields(&mut self, name: &str, fields: &Fields, all: bool) {
        for (position, field) in fields.iter().enumerate().filter(|(_, field)| all || is_public(&field.vis)) {
            let field_name = field.ident.as_ref().map_or_else(|| position.to_string(), ToString::to_string);
            self.lines.insert(format!("{name}.{field_name}: {}", text(&field.ty)));
        }
    }

    fn add_use(&mut self, module: &Module, path: &str, tree: &UseTree, from: &mut Vec<String>) {
        match tree {
            UseTree::Path(tree) => {
                from.push(tree.ident.to_string());
                self.add_use(module, path, &tree.tree, from);
                from.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(module, path, tree, from)),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let source = from.first().filter(|first| module.children.contains_key(*first));
                let is_private = source.is_some_and(|source| {
                    module
                        .items
                        .iter()
                        .any(|item| matches!(item, Item::Mod(child) if child.ident == source && !is_public(&child.vis)))
                });
                match source {
                    Some(source) if is_private => {
                        self.add(&module.children[source], path, Some(&BTreeSet::from([name])));
                    }
                    _ => {
                        self.lines.insert(format!("{path}: use {}::{name}", from.join("::")));
                    }
                }
            }
            UseTree::Rename(_) | UseTree::Glob(_) => panic!("{path}: name what is public"),
        }
    }

    /// Adds methods of public types, wherever their blocks are.
    fn add_methods(&mut self, module: &Module) {
        for item in &module.items {
            let Item::Impl(ItemImpl { trait_: None, self_ty, items, .. }) = item else { continue };
            let Type::Path(own) = &**self_ty else { continue };
            let Some(name) = own.path.segments.last().and_then(|last| self.types.get(&last.ident.to_string())).cloned()
            else {
                continue;
            };
            for item in items {
                match item {
                    ImplItem::Fn(method) if is_public(&method.vis) && !is_hidden(&method.attrs) => {
                        self.lines.insert(format!("{name}: {}", signature(&method.sig)));
                    }
                    ImplItem::Const(constant) if is_public(&constant.vis) => {
                        self.lines.insert(format!("{name}: const {}: {}", constant.ident, text(&constant.ty)));
                    }
                    _ => {}
                }
            }
        }
        module.children.values().for_each(|child| self.add_methods(child));
    }
}

#[test]
fn public_items_are_those_written_down() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("src");
    let library = parse(&source.join("lib.rs"), &source);
    let mut listing = Listing::default();
    listing.add(&library, "embq_core", None);
    listing.add_methods(&library);
    let found: String = listing.lines.iter().map(|line| format!("{line}\n")).collect();
    let path = root.join("tests/public_items.txt");
    if std::env::var_os("EMBQ_UPDATE").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    let (found, written): (BTreeSet<&str>, BTreeSet<&str>) = (found.lines().collect(), written.lines().collect());
    let new: Vec<_> = found.difference(&written).collect();
    let gone: Vec<_> = written.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "public items are new: {new:#?}\nor gone: {gone:#?}");
}
