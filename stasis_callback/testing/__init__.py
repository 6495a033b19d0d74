"""The test kit: a fake Asterisk on the real wire, a real one started on loopback, and scripted phones for both.

Public: programs that build on stasis-callback may use it in their own tests. The product itself never imports it.
"""
