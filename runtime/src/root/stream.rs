//! Dealing a stream: bytes are passed on as they come, and the header is taken out first.

use std::collections::BTreeMap;
use std::time::Instant;

use super::loss::{Again, Held};
use super::programs::Place;
use super::{Limit, REORDERED, Root, Source};
use crate::buffers::BUFFER;
use crate::input::InputError;
use crate::input::files::HEADER_LIMIT;
use crate::input::reader::{Arrived, StreamReader};
use crate::input::stream::StreamCutter;
use crate::job::{Contract, Deal, Job, Run};
use crate::output::chunks::Running;
use crate::poller::{Poller, percent};
use crate::records::{Records, end_of_nth};

/// Reads in one step, so that the copies are served between.
const READS: u32 = 8;
/// Passed on in one piece.
const PIECE: usize = 64 << 10;

/// The streams, and how far they are dealt.
pub(super) struct StreamSource {
    pub(super) reader: StreamReader,
    cutter: StreamCutter,
    records: Records,
    bytes: Vec<u8>,
    at: usize,
    offset: u64,
    header: Header,
    pub(super) owner: Option<u32>,
    /// Chunks whose copies were lost.
    pub(super) returned: BTreeMap<u64, Returned>,
    noted: u64,
    read: u64,
    /// The next byte is another stream's first.
    begins_anew: bool,
    ended: bool,
}

/// A chunk whose copy was lost.
pub(super) struct Returned {
    pub(super) again: Again,
    pub(super) home: u32,
    pub(super) attempt: u32,
    /// Where it begins.
    pub(super) offset: u64,
    /// More of it may come.
    pub(super) is_open: bool,
}

/// The header, and what of the present stream's is still to come.
struct Header {
    count: u64,
    first: Option<Vec<u8>>,
    now: Vec<u8>,
    left: u64,
}

/// What dealing a part of the stream came to.
enum Dealing {
    /// Something was passed on.
    Moved,
    /// Nobody can take the next bytes now.
    Stalled,
    /// There are no bytes.
    Dry,
}

impl StreamSource {
    pub(super) fn new(reader: StreamReader, job: &Job) -> Self {
        StreamSource {
            reader,
            cutter: StreamCutter::new(job.records, job.chunk, job.ranks.get()),
            records: job.records,
            bytes: Vec::with_capacity(BUFFER),
            at: 0,
            offset: 0,
            header: Header { count: job.header, first: None, now: Vec::new(), left: job.header },
            owner: None,
            returned: BTreeMap::new(),
            noted: 0,
            read: 0,
            begins_anew: false,
            ended: false,
        }
    }

    pub(super) fn woken(&mut self) {
        self.reader.woken();
    }

    pub(super) fn header(&self) -> &[u8] {
        self.header.first.as_deref().unwrap_or(&[])
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Has a chunk that was lost with `rank` dealt once more; `was_open` when it was the one that
    /// rank was given last.
    pub(super) fn give_back(
        &mut self,
        chunk: u64,
        mut returned: Returned,
        rank: u32,
        was_open: bool,
    ) {
        returned.is_open = was_open && self.owner == Some(rank);
        if returned.is_open {
            self.owner = None;
        }
        returned.again.whole |= !returned.is_open;
        self.returned.insert(chunk, returned);
    }

    fn header_is_known(&self) -> bool {
        self.header.count == 0 || self.header.first.is_some()
    }

    /// Takes the header's part out of the bytes at hand; says whether it is whole.
    fn take_header(&mut self) -> Result<bool, InputError> {
        let bytes = &self.bytes[self.at..];
        let (taken, whole) = match self.records {
            Records::Delimited(delimiter) => match end_of_nth(bytes, delimiter, self.header.left) {
                Ok(end) => (end, true),
                Err(found) => {
                    self.header.left -= found;
                    (bytes.len(), false)
                }
            },
            Records::Fixed(width) => {
                let wanted = self.header.count.saturating_mul(width.get());
                let left = wanted - self.header.now.len() as u64;
                let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                (taken, taken as u64 == left)
            }
        };
        self.header.now.extend_from_slice(&bytes[..taken]);
        self.at += taken;
        if self.header.now.len() > HEADER_LIMIT {
            let name = "the stream".to_owned();
            return Err(InputError::HeaderTooLong { name, records: self.header.count });
        }
        if whole { self.header_is_whole().map(|()| true) } else { Ok(false) }
    }

    fn header_is_whole(&mut self) -> Result<(), InputError> {
        self.header.left = 0;
        let mut now = std::mem::take(&mut self.header.now);
        if let Some(delimiter) = self.records.delimiter()
            && now.last().is_some_and(|&last| last != delimiter)
        {
            now.push(delimiter);
        }
        match &self.header.first {
            Some(first) if *first != now => Err(InputError::OtherHeader {
                name: "a later stream".to_owned(),
                first: "the first one".to_owned(),
                records: self.header.count,
            }),
            Some(_) => Ok(()),
            None => {
                self.header.first = Some(now);
                Ok(())
            }
        }
    }
}

impl Root {
    fn stream(&mut self) -> Option<&mut StreamSource> {
        match &mut self.source {
            Source::Stream(stream) => Some(stream),
            Source::Files(_) => None,
        }
    }

    /// Reads what has come and passes it on; says whether there is more to do at once.
    pub(super) fn deal_stream(&mut self, poller: &Poller, now: Instant) -> bool {
        self.deal_again(poller, now);
        self.end_when_nothing_is_left(poller, now);
        for _ in 0..READS {
            loop {
                match self.deal_bytes(poller, now) {
                    Ok(Dealing::Moved) => {}
                    Ok(Dealing::Dry) => break,
                    Ok(Dealing::Stalled) => {
                        self.blocked = Limit::Copies;
                        return false;
                    }
                    Err(error) => {
                        self.input_failed(error, poller, now);
                        return false;
                    }
                }
                if self.stopping.is_some() {
                    return false;
                }
            }
            match self.read_stream(poller, now) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.input_failed(error, poller, now);
                    return false;
                }
            }
        }
        true
    }

    /// How much of its pipe the stream's reading took since it was last asked, in percent.
    pub(super) fn take_stream_share(&mut self) -> usize {
        let Some(stream) = self.stream() else { return 0 };
        let read = std::mem::take(&mut stream.read);
        percent(read, stream.reader.capacity())
    }

    /// Reads once; says whether anything came.
    fn read_stream(&mut self, poller: &Poller, now: Instant) -> Result<bool, InputError> {
        // Whoever has only the chunk must know where a stream's last, shorter record ends.
        let apart = self.job.contract == Contract::Px && self.job.records.delimiter().is_none();
        let Some(stream) = self.stream() else { return Ok(false) };
        if stream.ended || !stream.reader.is_ready() {
            return Ok(false);
        }
        if std::mem::take(&mut stream.begins_anew) {
            stream.header.left = stream.header.count;
        }
        stream.bytes.clear();
        stream.at = 0;
        match stream.reader.read(&mut stream.bytes, stream.records)? {
            Arrived::Some => {
                stream.read += stream.bytes.len() as u64;
                Ok(true)
            }
            Arrived::Nothing => {
                let ends = stream.cutter.may_end_here();
                self.blocked = Limit::Input;
                if ends {
                    self.end_stream_chunk(poller, now);
                }
                Ok(false)
            }
            Arrived::EndOfOne => {
                let ended = stream.cutter.end_record() || apart && stream.cutter.is_open();
                let ends = stream.bytes.is_empty() && ended;
                if stream.header.left > 0 {
                    stream.header_is_whole()?;
                    stream.bytes.clear();
                }
                stream.begins_anew = true;
                if let Some(fd) = stream.reader.waits_on() {
                    let _ = poller.add(fd, crate::poller::Token::Input);
                }
                self.send_header(poller, now);
                if ends {
                    self.end_stream_chunk(poller, now);
                }
                Ok(true)
            }
            Arrived::EndOfAll => {
                if stream.header.left > 0 {
                    stream.header_is_whole()?;
                }
                stream.ended = true;
                let open = stream.cutter.is_open();
                self.send_header(poller, now);
                if open {
                    self.end_stream_chunk(poller, now);
                }
                self.end_all_input(poller, now);
                Ok(false)
            }
        }
    }

    fn send_header(&mut self, poller: &Poller, now: Instant) {
        if self.job.run == Run::PerRank && self.job.header > 0 && self.dealt == 0 {
            for rank in 0..self.job.ranks.get() {
                if self.ranks[rank as usize].given == 0 {
                    self.feed_header(rank, poller, now);
                }
            }
        }
    }

    fn end_all_input(&mut self, poller: &Poller, now: Instant) {
        if self.job.contract == Contract::Px {
            return self.end_when_nothing_is_left(poller, now);
        }
        for rank in 0..self.job.ranks.get() {
            if self.ranks[rank as usize].running {
                self.end_input(rank, poller, now);
            }
            if !self.ranks[rank as usize].running {
                self.rank_over(rank, poller, now);
            }
        }
    }

    /// After the stream's end and the last chunk that had to be dealt again, nobody waits for more.
    fn end_when_nothing_is_left(&mut self, poller: &Poller, now: Instant) {
        let Some(stream) = self.stream() else { return };
        if !stream.ended || !stream.returned.is_empty() || self.ranks.iter().all(|rank| rank.over) {
            return;
        }
        let is_px = self.job.contract == Contract::Px;
        for rank in 0..self.job.ranks.get() {
            if is_px && self.ranks[rank as usize].refeed.is_none() {
                self.end_input(rank, poller, now);
            }
            if !self.ranks[rank as usize].running {
                self.rank_over(rank, poller, now);
            }
        }
    }

    fn deal_bytes(&mut self, poller: &Poller, now: Instant) -> Result<Dealing, InputError> {
        let Some(stream) = self.stream() else { return Ok(Dealing::Dry) };
        if stream.at == stream.bytes.len() {
            return Ok(Dealing::Dry);
        }
        if stream.header.left > 0 {
            let first = !stream.header_is_known();
            if stream.take_header()? && first {
                self.send_header(poller, now);
            }
            return Ok(Dealing::Moved);
        }
        let Some(owner) = self.chunk_owner(poller, now) else { return Ok(Dealing::Stalled) };
        let counts = self.job.contract == Contract::Lines;
        let Some(stream) = self.stream() else { return Ok(Dealing::Dry) };
        let shown = stream.bytes.len().min(stream.at + PIECE);
        let take = stream.cutter.take(&stream.bytes[stream.at..shown]);
        let piece = stream.at..stream.at + take.bytes;
        let (start, index) = (stream.offset, stream.cutter.index());
        stream.at = piece.end;
        stream.offset += take.bytes as u64;
        let fresh = stream.cutter.records() - stream.noted;
        stream.noted += fresh;
        let bytes = std::mem::take(&mut stream.bytes);
        let per_chunk = self.job.run == Run::PerChunk;
        let state = &mut self.ranks[owner as usize];
        if per_chunk && !state.running {
            self.chunk_left_early(owner, take.bytes as u64, poller, now);
        } else if state.gone {
            self.left_early(owner, take.bytes as u64, poller, now);
        } else if state.declined || state.over {
            self.tally.drop_bytes(take.bytes as u64, take.ends);
        } else {
            if counts {
                self.gather.given(owner, fresh);
            }
            self.dealt += take.bytes as u64;
            self.dealt_chunks = index + 1;
            self.feed(owner, &bytes[piece], poller, now);
            let state = &mut self.ranks[owner as usize];
            let end = start + take.bytes as u64;
            state.note_chunk(index, start..end);
            if let Some(held) = state.held.get_mut(&index) {
                held.range.end = end;
            }
        }
        if let Some(stream) = self.stream() {
            stream.bytes = bytes;
        }
        if take.ends {
            self.end_stream_chunk(poller, now);
        }
        Ok(Dealing::Moved)
    }

    fn end_stream_chunk(&mut self, poller: &Poller, now: Instant) {
        let Some(stream) = self.stream() else { return };
        let records = stream.cutter.records();
        let index = stream.cutter.index();
        let owner = stream.owner.take();
        stream.cutter.next_chunk();
        stream.noted = 0;
        let Some(rank) = owner else { return };
        if let Some(refeed) = &mut self.ranks[rank as usize].refeed {
            refeed.whole = true;
            return;
        }
        let dropped = self.ranks[rank as usize].declined;
        if self.job.contract == Contract::Lines {
            let result = self.gather.dealt(rank, records);
            self.gathered(result, poller, now);
        }
        if self.job.commits_chunks() {
            if dropped {
                let result = self.gather.skipped(index);
                self.gathered(result, poller, now);
            } else {
                self.close_stream_chunk(rank, poller, now);
            }
        }
    }

    /// Gives `rank` a chunk of the stream; its bytes follow.
    pub(super) fn begin_stream_chunk(
        &mut self,
        rank: u32,
        chunk: u64,
        held: Held,
        poller: &Poller,
        now: Instant,
    ) {
        let Held { home, attempt, .. } = held;
        let place = Place { running: Running { chunk, home }, attempt, offset: held.range.start };
        if self.ranks[rank as usize].gone {
            // Its first bytes tell that it left too early.
            return;
        }
        if self.job.run == Run::PerChunk {
            self.start_chunk(rank, chunk, home, attempt, poller, now);
            self.feed_header(rank, poller, now);
        }
        self.hold(rank, chunk, held);
        self.begin_chunk(rank, place, None, poller, now);
    }

    /// All bytes of the chunk that `rank` was given last were given.
    pub(super) fn close_stream_chunk(&mut self, rank: u32, poller: &Poller, now: Instant) {
        let state = &mut self.ranks[rank as usize];
        if let Some(held) = state.chunk.and_then(|chunk| state.held.get_mut(&chunk)) {
            held.again.whole = true;
            let length = held.range.end - held.range.start;
            self.end_chunk(rank, length, poller, now);
        }
        if self.job.run == Run::PerChunk {
            self.end_input(rank, poller, now);
        }
    }

    /// The rank that takes the next bytes; `None` while that one, or everyone, is busy.
    fn chunk_owner(&mut self, poller: &Poller, now: Instant) -> Option<u32> {
        let (owner, index) = {
            let stream = self.stream()?;
            (stream.owner, stream.cutter.index())
        };
        if let Some(rank) = owner {
            let state = &self.ranks[rank as usize];
            let window = self.hosts.windows_of(rank).dealt;
            let room = state.outstanding() < window && self.hosts.has_room(rank);
            let open = !state.running || state.refeed.is_none() && room;
            return open.then_some(rank);
        }
        let stream = self.stream()?;
        if stream.returned.values().any(|returned| returned.is_open) {
            // The rest of a chunk that is to be dealt again first.
            return None;
        }
        let count = self.job.ranks.get();
        let mut home = None;
        let rank = match self.job.deal {
            Deal::Dynamic => {
                let free = (0..count).find(|&rank| self.is_free(rank));
                // When all have left, the next bytes tell that they left too early.
                let left = || (0..count).find(|&rank| self.ranks[rank as usize].gone);
                let anyone = self.ranks.iter().any(|rank| rank.running);
                free.or_else(|| left().filter(|_| !anyone))?
            }
            _ => {
                let rank = u32::try_from(index % u64::from(count)).unwrap_or(0);
                home = Some(rank);
                if self.ranks[rank as usize].lost {
                    (0..count).find(|&rank| self.is_free(rank))?
                } else {
                    self.is_free(rank).then_some(rank)?
                }
            }
        };
        let offset = self.stream()?.offset;
        if self.job.commits_chunks() && !self.ranks[rank as usize].declined {
            let held = Held::of_stream(home.unwrap_or(rank), 1, offset);
            self.begin_stream_chunk(rank, index, held, poller, now);
        }
        if let Some(stream) = self.stream() {
            stream.owner = Some(rank);
        }
        Some(rank)
    }

    fn is_free(&self, rank: u32) -> bool {
        let state = &self.ranks[rank as usize];
        let dynamic = self.job.deal == Deal::Dynamic;
        if state.lost || !self.hosts.has_room(rank) {
            return false;
        }
        match self.job.run {
            Run::PerChunk => !state.running && self.gather.waiting() < REORDERED,
            Run::PerRank if self.job.contract == Contract::Px => {
                let may_wait = self.gather.waiting() < REORDERED || state.held.is_empty();
                let takes = state.running && state.refeed.is_none() && !state.end_of_input;
                let room = state.outstanding() < self.hosts.windows_of(rank).dealt;
                state.gone || takes && may_wait && room && state.has_room_ahead(dynamic)
            }
            Run::PerRank if dynamic => state.running && state.unread() == 0,
            // One that has left is asked too: its next chunk tells that it left too early.
            Run::PerRank => {
                !state.running || state.outstanding() < self.hosts.windows_of(rank).dealt
            }
        }
    }
}
