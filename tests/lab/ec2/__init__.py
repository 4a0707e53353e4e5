"""What EC2 Instance Connect needs of AWS and of a host, for tests: three small servers and a real sshd.

server.py answers for EC2 (who is there, what is on its console, which endpoints there are) and for EC2 Instance
Connect (a key is good for 60 s of a clock that a test moves); endpoint.py carries tunnels; sshd.py is OpenSSH's, whose
AuthorizedKeysCommand asks server.py as Amazon's asks the metadata service. Signatures are checked.
"""
