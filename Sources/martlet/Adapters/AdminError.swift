import JSONTree

/// What a server refuses, or why there is no answer from it.
struct AdminError: Error, CustomStringConvertible {
    let message: String
    /// The server's own; nil when the server did not say.
    let code: String?

    init(_ message: String, code: String? = nil) {
        self.message = message
        self.code = code
    }

    var description: String { code.map { "\(message) [\($0)]" } ?? message }
}

extension AdminError {
    /// An answer that is an error.
    init(status: Int, answer: JSON?, from url: String) {
        guard let error = answer?["error"], let message = error["message"]?.stringValue else {
            self.init(stranger: url, status: status)
            return
        }
        let hint =
            status == 401 ? " Put the server's admin key in MARTLET_ADMIN_KEY, or give --key." : ""
        self.init(message + hint, code: error["code"]?.stringValue)
    }

    /// Something that does not answer as Martlet does.
    init(stranger url: String, status: Int? = nil) {
        let answer = status.map { "answers \($0)" } ?? "answers"
        self.init(
            "\(url) \(answer), but not as Martlet does. Give --url a Martlet server's address, without /v1."
        )
    }

    init(silent url: String, _ reason: any Error) {
        self.init(
            "No answer from \(url). Start a server there with `martlet serve`, or name another with --url or MARTLET_URL. (\(reason))"
        )
    }

    init(brokenOff url: String, by reason: any Error) {
        self.init("The answer from \(url) broke off: see the server's log. (\(reason))")
    }
}
