//! The public schema: what the docs say of it, and what reflection does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::served::Served;

/// Ours, ascending by name.
fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(orrery_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut files: Vec<_> = set.file.into_iter().filter(|f| f.package() == "orrery.v1").collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// The comment of what lies at a path of a file, on one line.
fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let places = file.source_code_info.iter().flat_map(|info| &info.location);
    let found = places.filter(|l| l.path == path).find_map(|l| l.leading_comments.as_deref());
    let words: Vec<&str> = found.unwrap_or_default().split_whitespace().collect();
    assert!(!words.is_empty(), "{} {path:?} has no comment", file.name());
    words.join(" ").replace('|', "\\|")
}

fn short(name: &str) -> &str {
    name.trim_start_matches('.').trim_start_matches("orrery.v1.")
}

fn kind(field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => format!("`{}`", short(field.type_name())),
        Type::Double => "double".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Uint32 => "uint32".into(),
        Type::Uint64 => "uint64".into(),
        Type::Bool => "bool".into(),
        Type::String => "string".into(),
        Type::Bytes => "bytes".into(),
        other => panic!("{other:?} has no name here"),
    };
    match (field.label(), field.proto3_optional()) {
        (Label::Repeated, _) => format!("repeated {name}"),
        (_, true) => format!("optional {name}"),
        _ => name,
    }
}

fn message(out: &mut String, file: &FileDescriptorProto, n: i32, message: &DescriptorProto) {
    let _ = writeln!(out, "\n#### {}\n\n{}", message.name(), comment(file, &[4, n]));
    if message.field.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n| field | type | |\n|---|---|---|");
    for (k, field) in (0..).zip(&message.field) {
        let one_of = field
            .oneof_index
            .filter(|_| !field.proto3_optional())
            .and_then(|n| message.oneof_decl.get(n as usize));
        let group = one_of.map(|o| format!(", one of `{}`", o.name())).unwrap_or_default();
        let said = comment(file, &[4, n, 2, k]);
        let _ = writeln!(
            out,
            "| `{}` = {} | {}{group} | {said} |",
            field.name(),
            field.number(),
            kind(field)
        );
    }
}

fn document() -> String {
    let files = files();
    let mut out = String::from(
        "# gRPC: `orrery.v1`\n\n\
         Made from the protos in `proto/proto` by `cargo xtask schema --write`; a test fails \
         when it is stale. How to ask: [grpc.md](grpc.md).\n\n\
         | service | call | |\n|---|---|---|\n",
    );
    for file in &files {
        for (s, service) in (0..).zip(&file.service) {
            for (m, method) in (0..).zip(&service.method) {
                let streams = |yes: bool| if yes { "stream " } else { "" };
                let _ = writeln!(
                    out,
                    "| {} | `{}({}{}) returns ({}{})` | {} |",
                    service.name(),
                    method.name(),
                    streams(method.client_streaming()),
                    short(method.input_type()),
                    streams(method.server_streaming()),
                    short(method.output_type()),
                    comment(file, &[6, s, 2, m])
                );
            }
        }
    }
    for file in &files {
        let name = file.name().trim_start_matches("orrery/v1/");
        let _ = writeln!(out, "\n## {name}\n\n{}", comment(file, &[12]));
        for (s, service) in (0..).zip(&file.service) {
            let _ = writeln!(out, "\n### {}\n\n{}", service.name(), comment(file, &[6, s]));
        }
        if !file.message_type.is_empty() {
            let _ = writeln!(out, "\n### Messages of {name}");
        }
        for (n, m) in (0..).zip(&file.message_type) {
            message(&mut out, file, n, m);
        }
        for (n, e) in (0..).zip(&file.enum_type) {
            let _ = writeln!(out, "\n#### {}\n\n{}\n", e.name(), comment(file, &[5, n]));
            for (k, value) in (0..).zip(&e.value) {
                let said = comment(file, &[5, n, 2, k]);
                let _ = writeln!(out, "- `{}` = {}: {said}", value.name(), value.number());
            }
        }
    }
    out
}

#[test]
fn the_docs_say_what_the_protos_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let made = document();
    if std::env::var_os("ORRERY_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("docs/api.md is written");
    }
    let kept = std::fs::read_to_string(&path).expect("docs/api.md");
    assert!(kept == made, "docs/api.md is stale: run `cargo xtask schema --write`");
}

#[test]
fn every_service_is_served_healthy_and_in_both_reflections() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::{v1 as r1, v1alpha as ra};

    let files = files();
    let services: BTreeSet<String> =
        files.iter().flat_map(|f| &f.service).map(|s| format!("orrery.v1.{}", s.name())).collect();
    assert!(services.len() >= 9, "{services:?}");
    let served = Served::start();
    served.runtime.block_on(async {
        let channel = tonic::transport::Channel::from_shared(served.url("")).expect("an address");
        let channel = channel.connect().await.expect("a connection");
        let mut health = HealthClient::new(channel.clone());
        for service in &services {
            let check = HealthCheckRequest { service: service.clone() };
            let status = health.check(check).await.expect(service).into_inner();
            assert_eq!(status.status(), ServingStatus::Serving, "{service}");
        }
        // Each version lists them, and gives the file of each with its fields.
        macro_rules! reflected {
            ($v:ident) => {{
                use $v::server_reflection_client::ServerReflectionClient as Client;
                use $v::server_reflection_request::MessageRequest as Asked;
                use $v::server_reflection_response::MessageResponse as Said;
                let mut requests = vec![Asked::ListServices(String::new())];
                requests.extend(services.iter().cloned().map(Asked::FileContainingSymbol));
                let requests: Vec<_> = requests
                    .into_iter()
                    .map(|asked| $v::ServerReflectionRequest {
                        host: String::new(),
                        message_request: Some(asked),
                    })
                    .collect();
                let mut answers = Client::new(channel.clone())
                    .server_reflection_info(tokio_stream::iter(requests))
                    .await
                    .expect("reflection")
                    .into_inner();
                let (mut listed, mut found) = (BTreeSet::new(), 0);
                while let Some(answer) = answers.message().await.expect("no error") {
                    match answer.message_response.expect("an answer") {
                        Said::ListServicesResponse(list) => {
                            listed = list.service.into_iter().map(|s| s.name).collect();
                        }
                        Said::FileDescriptorResponse(said) => {
                            let file = said.file_descriptor_proto.first().expect("a file");
                            let file =
                                FileDescriptorProto::decode(file.as_slice()).expect("a descriptor");
                            let ours = files.iter().find(|f| f.name == file.name).expect("ours");
                            assert_eq!(file.message_type, ours.message_type);
                            found += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert!(listed.is_superset(&services), "{listed:?}");
                assert_eq!(found, services.len());
            }};
        }
        reflected!(r1);
        reflected!(ra);
    });
}
