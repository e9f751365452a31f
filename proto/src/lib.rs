//! The public gRPC schema of orrery, and nothing else: generated messages,
//! clients and servers, and the descriptors for reflection.
//!
//! The words are explained where they are defined, in `proto/orrery/v1`.

/// Version 1 of the schema.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("orrery.v1");
}

/// The encoded `FileDescriptorSet` of every schema in this crate.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/orrery_descriptor.bin"));
