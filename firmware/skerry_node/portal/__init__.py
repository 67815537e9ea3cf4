"""The board's portal: pages for a phone, by a process of its own without privileges, which ends when nobody looks.

```
browser --HTTP--> skerry-portal --portal.sock, POST, JSON--> skerryd
```
It keeps nothing: sessions, the code and every decision are the agent's (skerry_node.localapi.portal). Nothing of it is imported by skerryd.
"""
