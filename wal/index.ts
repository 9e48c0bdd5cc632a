// The write-ahead log: what a member has promised, in the order in which it promised it.
//
// A log is a directory of segments. A segment is a run of frames, a frame holds one record, and a record is a protobuf
// message. The format is etcd's, and etcd's own tools read these files; each record has two more fields, which they
// skip.
//
//   member/wal/0000000000000000-0000000000000000.wal     <sequence>-<index of the first entry that it may hold>
//              0000000000000001-00000000000004d2.wal     64,000,000 bytes, and what the last save went beyond
//
//   segment  +-----+----------+---------------------+--------+--------+ - - +--------+-----------------------+
//            | crc | metadata | first: snapshot 0/0 | record | record |     | record | zeros, written ahead  |
//            |     |          | later: hard state   |        |        |     |        | in steps of 1 MiB     |
//            +-----+----------+---------------------+--------+--------+ - - +--------+-----------------------+
//             head: durable before the file gets its name                             ^ the tail
//
//   frame    +------------------------+------------------------------------------+-----------------------+
//            | length word, 8 bytes   | record                                   | zeros, to 8 bytes     |
//            +------------------------+------------------------------------------+-----------------------+
//             little-endian: bits 0-55 the record's size; if it is padded, bit 63 set and the count in bits 56-58
//             a word of 0 ends the segment
//
//   record   field 1   type      varint    1 metadata, 2 entry, 3 hard state, 4 crc, 5 snapshot
//            field 2   crc       varint    the chain: CRC-32C over the data of all records so far, over all segments;
//                                          a crc record has no data and carries the chain before it
//            field 3   data      bytes     metadata: etcdserverpb.Metadata (metadata.ts); entry, hard state: raftpb;
//                                          snapshot: index, term, conf_state (record.ts)
//            field 14  durable   varint    an offset, plus the salt (below). When this record was written, all earlier
//                                          segments, and the bytes of this file below the offset, were known to be
//                                          durable; in the metadata record of a head: the size of the file, durable,
//                                          when it got its name. In the crc record that begins the file: the salt
//            field 15  checksum  fixed32   CRC-32C over the frame from its length word up to this value, started from
//                                          the frame's offset in the file, xor the lower 32 bits of the salt, instead
//                                          of 0
//
// etcd's checksum covers data only, and needs all records before it. Ours covers type, length, place and data of one
// record, and needs no other record: so a record after a hole can vouch for the bytes in the hole. A file whose records
// have no fields 14 and 15 is etcd's own, and is read by etcd's rules; a log goes on with ours in the same file. Once a
// record has had all five fields, one with only 1-3 is refused: FOREIGN if every record to the end is sound, else
// DAMAGED.
//
// Assumptions
//   1. Bytes that datasync has acknowledged survive a power cut; of others any part may survive, sector by sector.
//   2. A write damages no byte outside its range.
//   3. A rename is atomic; it survives a power cut once the directory has been synced, also where an earlier sync of it
//      failed: a file system whose journal cannot be written accepts no more changes.
//   4. After a failed write or sync the file may hold anything. If the machine goes on, reading does not tell: the
//      pages that the failed sync did not write pass for clean, and no later sync writes them, until they are written
//      to again. So the process stops, and the next start relies only on bytes that a record states durable, and on
//      bytes that it has written anew.
//   5. Bits flip. Opening the log finds a flip; it refuses one in a part known to be durable, and does not mend it.
//   6. The size of a file shows that it became shorter, up to the first MiB. If an end is lost whole, frame by frame,
//      behind that or with zeros in its place, only the hard state can show it: more was committed.
//   7. Clients do not know the salts: any user who may read the files of a log is trusted with the member.
//
// Creating
//   1. A directory that is not empty is refused. A missing one is made as `<dir>.tmp`, after removing what a crash left
//      in it, and locked: the lock stays with the directory through the rename. An empty one, a mount point say, is
//      locked as it is.
//   2. The first segment is written with its head and synced: into `<dir>.tmp`, or into the directory under a temporary
//      name.
//   3. `<dir>.tmp` is synced and gets its name; or the segment does, and the directory is synced. Then the parent. A
//      crash leaves no log, or a whole one.
//   4. A log in which nothing was ever saved is replaced like an empty directory: the rename puts the new segment in
//      the old one's place, and a crash leaves the one or the other.
//
// Appending
//   1. All records of a save are put together and written in one call. If they pass the zeros written ahead, more zeros
//      come first.
//   2. If asked for, a datasync; from then on new records state the offset before it as durable.
//   3. At 64,000,000 bytes the segment is cut: cut off after its last record and synced; the next one written under a
//      temporary name and synced; renamed; the directory synced. A crash leaves the old tail or the new one, and
//      perhaps a temporary file.
//
// Snapshots: the order of writes is the snapshot's file (snap/), its record here, then the hard state that commits it
//   1. The record is written and synced. It says that the file is durable.
//   2. A snapshot of the member's own state was committed long before, and changes nothing in the log.
//   3. A snapshot that the leader sent replaces the log. It counts from the first hard state on that commits it, which
//      is written before any entry that follows, and synced. A crash before that leaves the log as it was; the leader
//      will send the snapshot again.
//   4. Releasing deletes the segments before the one that holds the index, the oldest first, each for good before the
//      next.
//
// Closing: a sync, the last hard state once more, a sync. The repeated record states all others durable.
//
// Opening
//   1. The directory is locked. Segments are listed; from the one that holds the start on, their sequence has no gap.
//   2. The directory and each file are synced before they are read: the pages of a killed process reach the disk.
//   3. Records are read in order; of each, the checksum, then the chain. Any fault in a segment that is not the last is
//      refused.
//   4. In the last segment let X be the first bad frame, or the end if anything but zeros follows it. The rest of the
//      file is searched for records that their own checksum proves sound, with the salt of the segment, and that state
//      no more than their own offset durable (frames start at multiples of 8). If one of them, or the head, states an
//      offset above X as durable: DAMAGED, with file and offset; the log stays unchanged. If none does, the bytes from
//      X on were never acknowledged, and step 7 leaves them out. A file shorter than its head states is DAMAGED, too.
//   5. The records are put together (read-all.ts): gaps, other metadata, a missing snapshot and a lost tail are
//      refused. Entries that a snapshot from the leader replaced are dropped.
//   6. Temporary files are removed. If there is an X: the used part of the file is copied to `<name>.broken`, under a
//      temporary name until it is synced.
//   7. The records of the last segment that no record states durable may not be on the disk (assumption 4), and are
//      written anew. A segment that has only its head was durable when it got its name. In a log that was closed, all
//      but the repeated hard state is stated durable: its bytes are written once more in place, and synced; a crash in
//      this write may spoil them, but they say nothing new. Otherwise the records up to X or the end are copied to
//      `<name>.tmp`, with zeros up to the size that the head states; it is synced, renamed to `<name>`, and the
//      directory is synced. A crash leaves the old file or the new one. No bytes from behind X can join later records.
//      Both ways read again what step 3 has read, and pages that only pass for clean may be gone by then: if the bytes
//      differ, to the end of the chain, the log is refused with OTHER_BYTES before it is changed, and the next start
//      sees the disk.
//
// Salt: a client cannot forge a record. The salt is a random number between 2^48 and 2^49, drawn anew for each segment.
// The bytes behind a hole may be a client's: a client that guesses where in the file its value will lie could put a
// record there that states the hole durable, and a sound log would be refused. But it cannot guess the salt. The
// checksum alone would not do, for it keeps 32 bits of any salt, and a value has room for many guesses; with the wrong
// upper bits, though, field 14 is negative, or an offset behind the record itself, for which no record can vouch. The
// salt was durable before any record of a client's came into the file. Segments that earlier versions or etcd began
// have a salt of 0, that is none, and go on without; the next segment has one.
//
// Where to read on: record.ts (bytes), encoder.ts and decoder.ts (many records), repair.ts and search.ts (step 4),
// read-all.ts (step 5), recovery.ts (opening), copy.ts (steps 6 and 7), create.ts (creating), segment.ts (zeros ahead),
// wal.ts (the rest), inspect.ts (only looking), disk/ (the file system).

export { endText, refusal, replaceThisMember, WalError, type WalErrorCode } from "./errors.ts";
export { type LogItem, readRecords, validSnapshots, verifyFrom } from "./inspect.ts";
export { decodeMetadata, encodeMetadata, type Metadata } from "./metadata.ts";
export type { StartAt } from "./read-all.ts";
export { decodeSnapshotRecord, RecordType, type WalRecord, type WalSnapshot } from "./record.ts";
export type { Recovered } from "./recovery.ts";
export type { Repaired } from "./repair.ts";
export { type CreateOptions, type OpenOptions, Wal, type WalOptions } from "./wal.ts";
