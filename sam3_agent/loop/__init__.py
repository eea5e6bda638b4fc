"""The loop: an LLM breaks a referring expression into concepts and acts through the tools until there is an answer.

Read `agent.py` first.
"""
