//! Turns a bootable partition into a disk image: a partition table before it, and the qcow2 format around it.

/// Where the partition begins, in sectors: one mebibyte, as everybody aligns.
pub(crate) const PARTITION_START: u32 = 2048;

const SECTOR: usize = 512;
const CLUSTER: usize = 65_536;
/// A FAT file system of 16 bits, addressed by sector numbers.
const PARTITION_TYPE: u8 = 0x0e;

/// A disk with one active partition and this boot code before it (at most 440 bytes are used).
pub(crate) fn partitioned(boot_code: &[u8], partition: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; PARTITION_START as usize * SECTOR];
    let code = &boot_code[..boot_code.len().min(440)];
    disk[..code.len()].copy_from_slice(code);
    let sectors = u32::try_from(partition.len() / SECTOR).unwrap_or(u32::MAX);
    let entry = &mut disk[446..462];
    entry[0] = 0x80;
    // Too far for cylinders, heads and sectors; nothing that boots this reads them.
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = PARTITION_TYPE;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&PARTITION_START.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    disk[510] = 0x55;
    disk[511] = 0xaa;
    disk.extend_from_slice(partition);
    disk
}

/// A qcow2 image (version 3) of a disk with this content at its start and nothing behind it.
pub(crate) fn qcow2(content: &[u8], virtual_size: u64) -> Vec<u8> {
    let l2_entries = CLUSTER / 8;
    let guest_clusters = usize::try_from(virtual_size.div_ceil(CLUSTER as u64)).unwrap_or(0);
    let l2_tables = guest_clusters.div_ceil(l2_entries);
    // Header, table of reference counts, block of them, table of tables, tables, then data.
    let first_data = 4 + l2_tables;
    let mut data: Vec<u8> = Vec::new();
    let mut l2 = vec![0_u64; l2_tables * l2_entries];
    for (index, cluster) in content.chunks(CLUSTER).enumerate() {
        if cluster.iter().any(|&byte| byte != 0) {
            l2[index] = owned(first_data + data.len() / CLUSTER);
            data.extend_from_slice(cluster);
            data.resize(data.len().next_multiple_of(CLUSTER), 0);
        }
    }
    let clusters = first_data + data.len() / CLUSTER;

    let mut image = header(virtual_size, l2_tables);
    image.resize(CLUSTER, 0);
    append(&mut image, std::iter::once((2 * CLUSTER) as u64));
    let counts = (0..CLUSTER / 2).map(|cluster| u16::from(cluster < clusters));
    image.extend(counts.flat_map(u16::to_be_bytes));
    append(&mut image, (0..l2_tables).map(|table| owned(4 + table)));
    append(&mut image, l2.into_iter());
    image.extend_from_slice(&data);
    image
}

fn header(virtual_size: u64, l2_tables: usize) -> Vec<u8> {
    let cluster = CLUSTER as u64;
    // Each field's value and its width in bytes.
    let fields = [
        (3, 4), // version
        (0, 8), // no backing file
        (0, 4),
        (u64::from(CLUSTER.trailing_zeros()), 4),
        (virtual_size, 8),
        (0, 4), // no encryption
        (l2_tables as u64, 4),
        (3 * cluster, 8), // table of tables
        (cluster, 8),     // table of reference counts
        (1, 4),           // and its clusters
        (0, 4),           // no snapshots
        (0, 8),
        (0, 8),   // no features that a reader must know,
        (0, 8),   // may know,
        (0, 8),   // or must clear
        (4, 4),   // reference counts of 2^4 bits
        (104, 4), // the header's length
    ];
    let mut header = b"QFI\xfb".to_vec();
    for (value, width) in fields {
        let value: u64 = value;
        header.extend_from_slice(&value.to_be_bytes()[8 - width..]);
    }
    header
}

/// The address of a cluster that nobody shares.
fn owned(cluster: usize) -> u64 {
    (cluster * CLUSTER) as u64 | 1 << 63
}

/// Appends big-endian numbers and fills up the cluster.
fn append(image: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    image.extend(numbers.flat_map(u64::to_be_bytes));
    image.resize(image.len().next_multiple_of(CLUSTER), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_where_the_table_says() {
        let disk = partitioned(&[0xeb; 600], &vec![7; 4096]);
        assert_eq!(disk[439], 0xeb);
        assert_eq!(disk[440], 0);
        assert_eq!(disk[446], 0x80);
        assert_eq!(disk[454..462], [0, 8, 0, 0, 8, 0, 0, 0]);
        assert_eq!(disk[510..512], [0x55, 0xaa]);
        assert_eq!(disk[1 << 20], 7);
        assert_eq!(disk.len(), (1 << 20) + 4096);
    }

    /// Reads a cluster back the way a hypervisor does.
    fn read(image: &[u8], cluster: usize) -> Option<&[u8]> {
        let long = |at: usize| u64::from_be_bytes(image[at..at + 8].try_into().unwrap());
        let place = |entry: u64| usize::try_from(entry & 0x00ff_ffff_ffff_fe00).unwrap();
        let l1 = place(long(40));
        let l2 = place(long(l1 + cluster / (CLUSTER / 8) * 8));
        let at = place(long(l2 + cluster % (CLUSTER / 8) * 8));
        (at != 0).then(|| &image[at..at + CLUSTER])
    }

    #[test]
    fn content_is_found_again_and_emptiness_takes_no_room() {
        let mut content = vec![0; 3 * CLUSTER + 10];
        content[5] = 1;
        content[3 * CLUSTER + 9] = 2;
        let image = qcow2(&content, 1 << 30);
        assert_eq!(read(&image, 0).unwrap()[5], 1);
        assert!(read(&image, 1).is_none());
        assert_eq!(read(&image, 3).unwrap()[9], 2);
        assert!(read(&image, 16_000).is_none());
        // Header, counts (2), table of tables, two tables, two data clusters.
        assert_eq!(image.len(), 8 * CLUSTER);
        let count = |cluster: usize| image[2 * CLUSTER + cluster * 2 + 1];
        assert_eq!(
            (0..9).map(count).collect::<Vec<_>>(),
            [1, 1, 1, 1, 1, 1, 1, 1, 0]
        );
    }
}
