//! Compressed files made by hand from uncompressed blocks. Readers see no difference, and no other code is needed to
//! make them.

/// A gzip member.
#[must_use]
pub fn gzip(content: &[u8]) -> Vec<u8> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut packed = HEADER.to_vec();
    let blocks = content.chunks(0xffff);
    let last = blocks.len() - 1;
    for (at, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        packed.push(u8::from(at == last));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    packed.extend(crc32(content).to_le_bytes());
    packed.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    packed
}

/// A zstd frame.
#[must_use]
pub fn zstd(content: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    // One segment, whose size follows in eight bytes; no checksum.
    const DESCRIPTOR: u8 = 0b1110_0000;
    let mut packed = MAGIC.to_vec();
    packed.push(DESCRIPTOR);
    packed.extend((content.len() as u64).to_le_bytes());
    let blocks = content.chunks(1 << 17);
    let last = blocks.len() - 1;
    for (at, block) in blocks.enumerate() {
        let header = u32::try_from(block.len()).unwrap() << 3 | u32::from(at == last);
        packed.extend(&header.to_le_bytes()[..3]);
        packed.extend(block);
    }
    packed
}

fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ ((crc & 1) * 0xedb8_8320)
        })
    })
}
