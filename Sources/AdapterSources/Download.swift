internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1

/// Brings one pinned file to disk: continues what is there, counts what comes, checks what is whole.
struct Download {
    let transport: SourceTransport
    let service: RemoteService
    let file: RemoteFile
    let folder: String
    /// What the file may have at most.
    let byteLimit: Int
    let deadline: ContinuousClock.Instant
    /// Told how many bytes of the file are there, and how many there will be.
    let progress: (_ done: Int, _ total: Int?) -> Void

    /// - Returns: the file's size.
    func run() async throws(SourceError) -> Int {
        if let size = file.byteCount { try checkLimit(size) }
        return try await transport.retrying(until: deadline) {
            () async throws(SourceError) -> Int in
            try await attempt()
        }
    }

    private func attempt() async throws(SourceError) -> Int {
        var part = try PartFile(file.name, in: folder, continuation: file.continuation)
        if part.byteCount == 0 || part.byteCount != file.byteCount {
            var request = SourceRequest(address: file.address, service: service)
            if part.byteCount > 0 {
                request.headers.add(name: "Range", value: "bytes=\(part.byteCount)-")
                // Other origins know the file by other tags; there the checksum decides in the end.
                if let tag = file.tag, !tag.isWeak {
                    request.originHeaders.add(name: "If-Range", value: tag.description)
                }
            }
            try await transport.send(request, until: deadline) {
                (answer: SourceAnswer) async throws(SourceError) -> Void in
                try await receive(answer, into: &part)
            }
        }
        try await part.finish(checking: file.checksum)
        return part.byteCount
    }

    private func receive(
        _ answer: SourceAnswer, into part: inout PartFile
    ) async throws(SourceError) {
        let total = try begin(answer, &part)
        if let total { try checkLimit(total) }
        let end = total ?? byteLimit
        progress(part.byteCount, total)
        do {
            for try await buffer in answer.response.body {
                guard buffer.readableBytes <= end - part.byteCount else {
                    part.discard()
                    throw tooLarge(
                        total == nil ? "more than \(byteLimit) bytes" : "more than it declared")
                }
                try part.append(buffer)
                progress(part.byteCount, total)
                guard ContinuousClock.now < deadline else {
                    throw SourceError(.timeout, "\(file.address) takes too long")
                }
            }
        } catch {
            throw answer.interruption(error)
        }
        guard part.byteCount == total ?? part.byteCount else {
            throw SourceError(
                .truncated, "\(file.address) ended after \(part.byteCount) of \(end) bytes")
        }
    }

    /// Decides by an answer's head whether its body continues the part or replaces it.
    ///
    /// - Returns: the size of the whole file, when it is known.
    private func begin(
        _ answer: SourceAnswer, _ part: inout PartFile
    ) throws(SourceError) -> Int? {
        let total: Int?
        switch answer.status {
        case 200:
            if part.byteCount > 0 { try part.restart() }
            total = answer.byteCount("Content-Length")
        case 206:
            guard part.byteCount > 0, let range = answer.header("Content-Range"),
                let (start, size) = Download.range(range), start == part.byteCount
            else {
                part.discard()
                throw SourceError(
                    .malformedAnswer, "\(file.address) answers with a range that was not asked for")
            }
            total = size ?? file.byteCount
        case 416:
            part.discard()
            throw SourceError(.truncated, "\(file.address) is shorter than what came before")
        default:
            throw answer.failure
        }
        if let coding = answer.header("Content-Encoding"), coding.lowercased() != "identity" {
            throw SourceError(.malformedAnswer, "\(file.address) is sent in the coding \(coding)")
        }
        try checkUnchanged(answer, total)
        return file.byteCount ?? total
    }

    private func checkUnchanged(_ answer: SourceAnswer, _ total: Int?) throws(SourceError) {
        var isSame = total == nil || file.byteCount == nil || total == file.byteCount
        if service.answersWithFileTags {
            if let tag = file.tag {
                isSame = isSame && answer.tag ?? tag == tag
            } else if let modified = file.modified {
                isSame = isSame && answer.header("Last-Modified") ?? modified == modified
            }
        }
        guard isSame else {
            throw SourceError(
                .changedMeanwhile,
                "\(file.address) is not what it was when it was pinned; try again")
        }
    }

    private func checkLimit(_ byteCount: Int) throws(SourceError) {
        guard byteCount <= byteLimit else {
            throw tooLarge("\(byteCount) bytes where at most \(byteLimit) are left")
        }
    }

    private func tooLarge(_ reason: String) -> SourceError {
        SourceError(.tooLarge, "\(file.address) has \(reason)")
    }

    /// First byte and whole size of `bytes FIRST-LAST/SIZE`; the size may be `*`.
    private static func range(_ text: String) -> (start: Int, size: Int?)? {
        guard let match = text.wholeMatch(of: #/bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)/#),
            let start = Int(match.1)
        else { return nil }
        return (start, Int(match.2))
    }
}
